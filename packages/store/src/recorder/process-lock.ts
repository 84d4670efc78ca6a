import { DatabaseSync } from "../sqlite/node-sqlite.ts";

/** A lock on a file that the operating system takes back when its process dies, however it dies. */
export interface ProcessLock {
  release(): void;
}

/**
 * Takes the lock without waiting; null when a living process has it. SQLite's own file locks are the only ones that Node
 * offers: the file is an empty database, locked by a transaction that never ends. Never open that file by other means: on POSIX,
 * closing it would give back this process's locks.
 */
export function tryLock(file: string): ProcessLock | null {
  const database = new DatabaseSync(file, { timeout: 0 });
  try {
    database.exec("begin exclusive");
    return { release: () => database.close() };
  } catch (thrown) {
    database.close();
    const busy = thrown instanceof Error && "errcode" in thrown && thrown.errcode === 5;
    if (busy) return null;
    throw thrown;
  }
}
