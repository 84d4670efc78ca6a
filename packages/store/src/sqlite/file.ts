import { closeSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { makeFolder } from "@millrace/core";

/**
 * Makes the file and its folder where they are missing, for their owner alone: runs hold what users sent. SQLite gives
 * the files beside it (-wal, -shm) the same mode.
 */
export function prepareFile(file: string): void {
  makeFolder(dirname(file));
  try {
    closeSync(openSync(file, "wx", 0o600));
  } catch (thrown) {
    // One that exists is not opened here: closing it would give back the locks that SQLite holds on it in this process.
    if (!(thrown instanceof Error && "code" in thrown && thrown.code === "EEXIST")) throw thrown;
  }
}
