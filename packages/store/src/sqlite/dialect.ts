import type { SQLInputValue, StatementSync } from "node:sqlite";
import { MillraceError } from "@millrace/core";
import {
  CompiledQuery,
  type DatabaseConnection,
  SqliteAdapter,
  type SqliteDatabase,
  SqliteDriver,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type SqliteStatement,
  sql,
} from "kysely";
import type { StoreDialect } from "../dialect.ts";
import { isBusy, lacksSharedMemory, translateSqliteError } from "./error.ts";
import { prepareFile } from "./file.ts";
import { DatabaseSync } from "./node-sqlite.ts";

/** Marks the file as ours (`pragma application_id`): "Mlrc". */
const APPLICATION_ID = 0x4d_6c_72_63;
/** How long SQLite itself waits for a lock. Short, because it blocks the thread; longer waits are retries. */
const BUSY_TIMEOUT_MS = 50;

/** Kysely's SQLite dialect over Node's own driver. Transactions begin as writers, so that none fails half-way. */
export function sqliteDialect(file: string): StoreDialect {
  return {
    place: file,
    kysely: {
      createDriver: () => new ImmediateDriver(file),
      createQueryCompiler: () => new SqliteQueryCompiler(),
      createAdapter: () => new SqliteAdapter(),
      createIntrospector: (db) => new SqliteIntrospector(db),
    },
    async readVersion(db) {
      const { rows } = await sql<{ id: number; version: number; tables: number }>`
        select (select application_id from pragma_application_id) as id,
          (select user_version from pragma_user_version) as version,
          (select count(*) from sqlite_schema) as tables`.execute(db);
      const [row] = rows;
      if (row === undefined || row.id === APPLICATION_ID) return row?.version ?? 0;
      if (row.id === 0 && row.version === 0 && row.tables === 0) return 0;
      throw new MillraceError({
        class: "usage",
        code: "STORE_FOREIGN",
        message: `${file} is an SQLite database of another program.`,
        action: "Give the store a file of its own: set `store.url`.",
      });
    },
    // Every transaction begins as the only writer.
    lockForMigration: () => Promise.resolve(),
    async writeVersion(transaction, version) {
      await sql`pragma application_id = ${sql.lit(APPLICATION_ID)}`.execute(transaction);
      await sql`pragma user_version = ${sql.lit(version)}`.execute(transaction);
    },
    ddl: {
      key: sql`text`,
      identity: sql`integer primary key`,
      clustered: sql`without rowid`,
      stepRuns: sql`
        select runs.id as run_id,
          json_extract(step.value, '$[0]') as step,
          coalesce(json_extract(step.value, '$[4]'), 'completed') as status,
          json_extract(step.value, '$[1]') / 1000.0 as start_ms,
          json_extract(step.value, '$[2]') / 1000.0 as duration_ms,
          coalesce(json_extract(step.value, '$[3]'), 1) as attempts
        from runs, json_each(runs.steps) as step`,
    },
    lateral: false,
    isRetryable: isBusy,
    translate: (thrown) => translateSqliteError(thrown, file),
  };
}

class ImmediateDriver extends SqliteDriver {
  readonly #isInTransaction: () => boolean;

  constructor(file: string) {
    let database: DatabaseSync | undefined;
    super({
      database: async () => {
        database = openDatabase(file);
        return adaptDatabase(database);
      },
    });
    this.#isInTransaction = () => database?.isTransaction === true;
  }

  /** SQLite rolls back by itself when the disk is full; a second rollback would fail and hide why. */
  override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    if (this.#isInTransaction()) await super.rollbackTransaction(connection);
  }

  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw("begin immediate"));
  }
}

function openDatabase(file: string): DatabaseSync {
  prepareFile(file);
  try {
    return connect(file, "normal");
  } catch (thrown) {
    if (!lacksSharedMemory(thrown)) throw thrown;
    // A full disk has no room for the file that processes share. Alone, one needs none: it can read, to see what may be deleted.
    try {
      return connect(file, "exclusive");
    } catch {
      throw thrown;
    }
  }
}

function connect(file: string, locking: "normal" | "exclusive"): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
  try {
    database.exec(
      `pragma locking_mode = ${locking}; pragma foreign_keys = on; pragma synchronous = normal`,
    );
    // Changing the mode needs the file for a moment alone; reading it does not.
    const mode = database.prepare("pragma journal_mode").get();
    if (mode?.["journal_mode"] !== "wal") database.exec("pragma journal_mode = wal");
  } catch (thrown) {
    database.close();
    throw thrown;
  }
  return database;
}

function adaptDatabase(database: DatabaseSync): SqliteDatabase {
  return {
    close: () => database.close(),
    prepare: (text) => adaptStatement(database.prepare(text)),
  };
}

function adaptStatement(statement: StatementSync): SqliteStatement {
  return {
    reader: statement.columns().length > 0,
    all: (parameters) => statement.all(...parameters.map(toInput)),
    run: (parameters) => statement.run(...parameters.map(toInput)),
    iterate: (parameters) => statement.iterate(...parameters.map(toInput)),
  };
}

function toInput(value: unknown): SQLInputValue {
  if (value === null || typeof value === "string" || typeof value === "number") return value;
  if (typeof value === "bigint" || value instanceof Uint8Array) return value;
  throw new TypeError(`A value of type ${typeof value} cannot be stored.`);
}
