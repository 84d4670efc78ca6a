import { chmodSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { MillraceError } from "@millrace/core";

const SQLITE_BUSY = 5;
const PATIENCE_MS = 15_000;

/**
 * Does work that only one process at a time may do. The lock is one of the operating system on the file (SQLite takes
 * it, portably and without a native addon), so it ends with its holder however that dies. The file is never deleted.
 * @throws MillraceError `LOCAL_LOCK_TIMEOUT` when another process keeps the lock for 15 seconds.
 */
export async function withLock<T>(
  file: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const database = new DatabaseSync(file);
  try {
    // SQLite makes files that others can read: who can open this one can hold the lock for ever.
    chmodSync(file, 0o600);
    await acquire(database, file, signal);
    return await work();
  } finally {
    database.close();
  }
}

async function acquire(
  database: DatabaseSync,
  file: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!tryBegin(database)) {
    if (performance.now() > deadline) {
      throw new MillraceError({
        class: "unreachable",
        code: "LOCAL_LOCK_TIMEOUT",
        message: `Another process has held the lock ${file} for ${PATIENCE_MS / 1000} seconds.`,
        action: "Find that process (lsof or fuser name it), end it if it hangs, and try again.",
        retryable: true,
      });
    }
    await sleep(20, undefined, signal === undefined ? {} : { signal });
  }
}

function tryBegin(database: DatabaseSync): boolean {
  try {
    // Nothing is ever written, so the journal need not be a file; a holder that dies leaves no file behind.
    database.exec("PRAGMA busy_timeout = 0; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    return true;
  } catch (error) {
    if (error instanceof Error && "errcode" in error && error.errcode === SQLITE_BUSY) return false;
    throw error;
  }
}
