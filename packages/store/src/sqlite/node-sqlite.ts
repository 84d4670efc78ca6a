import type * as sqlite from "node:sqlite";

/**
 * Node's SQLite, loaded without the warning that Node 22 prints for it with each process: what Millrace uses of it has not
 * changed since 22.13 (https://nodejs.org/docs/latest-v22.x/api/sqlite.html), and the tests run on it.
 */
function load(): typeof sqlite {
  const { emitWarning } = process;
  process.emitWarning = () => undefined;
  try {
    return process.getBuiltinModule("node:sqlite");
  } finally {
    process.emitWarning = emitWarning;
  }
}

export const { DatabaseSync } = load();
export type DatabaseSync = sqlite.DatabaseSync;
