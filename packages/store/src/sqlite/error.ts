import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import { type MillraceError, messageOf } from "@millrace/core";
import { type Fault, LOCKED, storeError } from "../fault.ts";

const READ_ONLY: Fault = {
  class: "unreachable",
  code: "STORE_READ_ONLY",
  what: "cannot be written",
  action:
    "Give this user write access to the file and its folder, or set `store.url` to another place.",
};
const FULL: Fault = {
  class: "unreachable",
  code: "STORE_FULL",
  what: "cannot grow: the disk or the quota is full",
  action: "Free some space and run the command again. Nothing was half-written.",
  retryable: true,
};
const UNREACHABLE: Fault = {
  class: "unreachable",
  code: "STORE_UNREACHABLE",
  what: "cannot be opened or read",
  action: "See that the path is right and that this user may read and write it.",
};
const CORRUPT: Fault = {
  class: "internal",
  code: "STORE_CORRUPT",
  what: "is damaged",
  action:
    "Restore it from a backup, or move it away and begin with an empty store. Deployments that run go on.",
};
const NOT_A_DATABASE: Fault = {
  class: "usage",
  code: "STORE_CORRUPT",
  what: "is not an SQLite database",
  action: "Set `store.url` to the right file, or move this one away and begin with an empty store.",
};

/** By SQLite's primary result code (https://sqlite.org/rescode.html). */
const BY_RESULT_CODE: Readonly<Record<number, Fault>> = {
  3: READ_ONLY, // SQLITE_PERM
  5: LOCKED, // SQLITE_BUSY
  6: LOCKED, // SQLITE_LOCKED
  8: READ_ONLY, // SQLITE_READONLY
  10: UNREACHABLE, // SQLITE_IOERR
  11: CORRUPT, // SQLITE_CORRUPT
  13: FULL, // SQLITE_FULL
  14: UNREACHABLE, // SQLITE_CANTOPEN
  26: NOT_A_DATABASE, // SQLITE_NOTADB
};

/** By the operating system's error. */
const BY_SYSTEM_CODE: Readonly<Record<string, Fault>> = {
  EACCES: READ_ONLY,
  EPERM: READ_ONLY,
  EROFS: READ_ONLY,
  ENOSPC: FULL,
  EDQUOT: FULL,
  EEXIST: UNREACHABLE,
  EISDIR: UNREACHABLE,
  ENOENT: UNREACHABLE,
  ENOTDIR: UNREACHABLE,
  ENAMETOOLONG: UNREACHABLE,
  EIO: UNREACHABLE,
};

/** SQLite's primary result code; null when the error is not SQLite's. */
function resultCode(thrown: unknown): number | null {
  if (!(thrown instanceof Error) || !("errcode" in thrown)) return null;
  return typeof thrown.errcode === "number" ? thrown.errcode & 0xff : null;
}

export function isBusy(thrown: unknown): boolean {
  const code = resultCode(thrown);
  return code === 5 || code === 6;
}

/** SQLITE_IOERR_SHMSIZE */
const SHARED_MEMORY_SIZE = 4874;

/** Whether SQLite could not make the file that the processes of a database share. */
export function lacksSharedMemory(thrown: unknown): boolean {
  return thrown instanceof Error && "errcode" in thrown && thrown.errcode === SHARED_MEMORY_SIZE;
}

export function translateSqliteError(thrown: unknown, file: string): MillraceError | null {
  const fault = faultOf(thrown, file);
  return fault === undefined ? null : storeError(fault, file, messageOf(thrown), thrown);
}

/** SQLite tells a full disk as an I/O error where it cannot make its shared memory as large as it has to be. */
const IO_ERROR = 10;
const LITTLE_BYTES = 65_536;

/** SQLite has no code of its own for tables that are not as our statements, which never change, know them. */
const ERROR = 1;
const OTHER_TABLES = /^no such |already exists$/;

function faultOf(thrown: unknown, file: string): Fault | undefined {
  const code = resultCode(thrown);
  if (code === IO_ERROR && freeBytes(dirname(file)) < LITTLE_BYTES) return FULL;
  if (code === ERROR && OTHER_TABLES.test(messageOf(thrown))) return CORRUPT;
  if (code !== null) return BY_RESULT_CODE[code];
  if (thrown instanceof Error && "code" in thrown && typeof thrown.code === "string")
    return BY_SYSTEM_CODE[thrown.code];
  return undefined;
}

function freeBytes(folder: string): number {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  } catch {
    // What cannot be asked is not known to be full.
    return Number.POSITIVE_INFINITY;
  }
}
