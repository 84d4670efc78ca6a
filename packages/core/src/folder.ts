import { mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Makes a folder and those above it that are missing, for their owner alone. Not by Node's `recursive`, which never comes to an
 * end where the system denies that there is a parent that is there, as in /proc.
 * @returns Whether it was made, and not there already.
 */
export function makeFolder(path: string): boolean {
  try {
    return makeOne(path);
  } catch (error) {
    if (!isOf(error, "ENOENT") || dirname(path) === path) throw error;
  }
  makeFolder(dirname(path));
  return makeOne(path);
}

function makeOne(path: string): boolean {
  try {
    mkdirSync(path, { mode: 0o700 });
    return true;
  } catch (error) {
    if (isOf(error, "EEXIST") && statSync(path).isDirectory()) return false;
    throw error;
  }
}

function isOf(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
