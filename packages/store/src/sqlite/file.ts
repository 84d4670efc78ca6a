import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Makes the file and its folder where they are missing, for their owner alone: runs hold what users sent. SQLite gives
 * the files beside it (-wal, -shm) the same mode.
 */
export function prepareFile(file: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  try {
    closeSync(openSync(file, "wx", 0o600));
  } catch (thrown) {
    // One that exists is not opened here: closing it would give back the locks that SQLite holds on it in this process.
    if (!(thrown instanceof Error && "code" in thrown && thrown.code === "EEXIST")) throw thrown;
  }
}
