import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { isErrorCode } from "./system-error.ts";

/**
 * Log files are numbered and never renamed: the highest number is written, the lowest is deleted. So a reader's place
 * is a number and an offset, and rotation cannot move it.
 */
export interface LogFile {
  readonly number: number;
  readonly path: string;
  readonly size: number;
}

const NAME = /^(\d{9})\.log$/;

export function logFileName(number: number): string {
  return `${String(number).padStart(9, "0")}.log`;
}

/** The log files of a folder, oldest first. Empty when there is no folder. */
export function listLogFiles(folder: string): LogFile[] {
  return namesIn(folder)
    .flatMap((name) => {
      const number = NAME.exec(name)?.[1];
      return number === undefined ? [] : [{ number: Number(number), path: join(folder, name) }];
    })
    .sort((a, b) => a.number - b.number)
    .flatMap((file) => {
      // The oldest may be deleted between the two calls.
      const size = statSync(file.path, { throwIfNoEntry: false })?.size;
      return size === undefined ? [] : [{ ...file, size }];
    });
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isErrorCode(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}
