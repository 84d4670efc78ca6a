import type { MillraceError } from "@millrace/core";
import type { Dialect, Kysely, RawBuilder, Transaction } from "kysely";
import type { Database } from "./database.ts";

/** What differs between databases. Everything else of the store is written once, in Kysely's portable part. */
export interface StoreDialect {
  readonly kysely: Dialect;
  /** The store's version; 0 when it is empty. @throws MillraceError when it is something else than a store. */
  readVersion(db: Kysely<Database>): Promise<number>;
  /** Waits until no other process migrates the store; holds until the transaction ends. */
  lockForMigration(transaction: Transaction<Database>): Promise<void>;
  writeVersion(transaction: Transaction<Database>, version: number): Promise<void>;
  /** Names the database in messages. Holds no password. */
  readonly place: string;
  /** Parts of the migrations. */
  readonly ddl: {
    /** Type of ids and names, which sort by code unit in every database. */
    readonly key: RawBuilder<unknown>;
    /** Type and constraint of a number that the database counts up. */
    readonly identity: RawBuilder<unknown>;
    /** Ends the definition of a table whose rows are kept in the order of the primary key. */
    readonly clustered: RawBuilder<unknown>;
    /** Select that reads one row per step run from the table `runs`: run_id, step, status, start_ms, duration_ms, attempts. */
    readonly stepRuns: RawBuilder<unknown>;
  };
  /** Whether a joined subquery may refer to what stands before it. */
  readonly lateral: boolean;
  /** True when the transaction did nothing and may succeed when it is tried again. */
  isRetryable(thrown: unknown): boolean;
  /** Null when it is no error of the database. */
  translate(thrown: unknown): MillraceError | null;
}
