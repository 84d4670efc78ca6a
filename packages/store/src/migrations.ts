import { MillraceError } from "@millrace/core";
import type { Kysely, Transaction } from "kysely";
import type { Database } from "./database.ts";
import type { StoreDialect } from "./dialect.ts";
import { createTables } from "./migrations/0001-tables.ts";

export type Migration = (
  transaction: Transaction<Database>,
  ddl: StoreDialect["ddl"],
) => Promise<void>;

/** The version of the store is how many of these were applied. Append only: never change one that was released. */
const MIGRATIONS: readonly Migration[] = [createTables];

/**
 * Brings the store to the newest version. An up-to-date one costs a single read. The work is one transaction of a
 * writer, so of several processes one migrates and the others find it done.
 * @throws MillraceError `STORE_NEWER`
 */
export async function migrate(
  db: Kysely<Database>,
  dialect: StoreDialect,
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<void> {
  if (isCurrent(await dialect.readVersion(db), dialect, migrations)) return;
  await db.transaction().execute(async (transaction) => {
    await dialect.lockForMigration(transaction);
    const version = await dialect.readVersion(transaction);
    if (isCurrent(version, dialect, migrations)) return;
    for (const migration of migrations.slice(version)) await migration(transaction, dialect.ddl);
    await dialect.writeVersion(transaction, migrations.length);
  });
}

function isCurrent(
  version: number,
  dialect: StoreDialect,
  migrations: readonly Migration[],
): boolean {
  if (version <= migrations.length) return version === migrations.length;
  throw new MillraceError({
    class: "usage",
    code: "STORE_NEWER",
    message: `The store ${dialect.place} has version ${version}; this Millrace knows versions up to ${migrations.length}.`,
    action: "Update Millrace, or set `store.url` to another store.",
    details: { version, known: migrations.length },
  });
}
