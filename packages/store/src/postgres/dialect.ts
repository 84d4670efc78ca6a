import { MillraceError } from "@millrace/core";
import {
  CompiledQuery,
  type DatabaseConnection,
  type Kysely,
  PostgresDialect,
  type PostgresDialectConfig,
  PostgresDriver,
  sql,
} from "kysely";
import { Pool, type PoolClient } from "pg";
import type { Database } from "../database.ts";
import type { StoreDialect } from "../dialect.ts";
import { connectionSettings } from "./connection.ts";
import { isRetryable, translatePostgresError } from "./error.ts";
import { placeOfPostgres } from "./url.ts";

const MIN_VERSION = 13;
/** Connections of one process: its calls are short, and a server has some hundred for all. */
const MAX_CONNECTIONS = 5;
const CONNECT_TIMEOUT_MS = 10_000;
/** A read or a transaction that takes longer, beside its wait for a lock, has lost its server. */
const ANSWER_TIMEOUT_MS = 30_000;
/** Key of the lock that one who migrates holds: "Mlrc". */
const MIGRATION_LOCK = 0x4d_6c_72_63;

/**
 * Kysely's PostgreSQL dialect over pg. The store is the schema that comes first in the search path; the table
 * `millrace_store` in it holds the version and says that the schema is ours.
 * @throws MillraceError `STORE_URL`
 */
export function postgresDialect(url: string, lockTimeoutMs: number): StoreDialect {
  const pool = new Pool({
    ...connectionSettings(url, CONNECT_TIMEOUT_MS),
    max: MAX_CONNECTIONS,
    // A program that forgot to close its store ends nevertheless.
    allowExitOnIdle: true,
  });
  // The pool drops a connection that breaks. Whoever used it is told by its query; of an idle one nobody needs to know.
  const ignore = () => undefined;
  pool.on("error", ignore);
  pool.on("connect", (client) => client.on("error", ignore));
  const { liftLimits } = endWhatHangs(pool, ANSWER_TIMEOUT_MS + lockTimeoutMs);
  const place = placeOfPostgres(url);
  return {
    place,
    kysely: new LockTimeoutDialect({ pool }, lockTimeoutMs),
    readVersion: (db) => readVersion(db, place),
    async lockForMigration(transaction) {
      await sql`select pg_advisory_xact_lock(${sql.lit(MIGRATION_LOCK)})`.execute(transaction);
      // A migration takes as long as it takes.
      liftLimits();
    },
    async writeVersion(transaction, version) {
      await sql`create table if not exists millrace_store (version integer not null)`.execute(
        transaction,
      );
      await sql`delete from millrace_store`.execute(transaction);
      await sql`insert into millrace_store values (${version})`.execute(transaction);
    },
    ddl: {
      key: sql`text collate "C"`,
      identity: sql`integer generated always as identity primary key`,
      clustered: sql``,
      stepRuns: sql`
        select runs.id as run_id,
          step.value ->> 0 as step,
          coalesce(step.value ->> 4, 'completed') as status,
          (step.value ->> 1)::double precision / 1000 as start_ms,
          (step.value ->> 2)::double precision / 1000 as duration_ms,
          coalesce((step.value ->> 3)::integer, 1) as attempts
        from runs cross join lateral json_array_elements(runs.steps::json) as step (value)`,
    },
    lateral: true,
    isRetryable,
    translate: (thrown) => translatePostgresError(thrown, place),
  };
}

/**
 * Ends connections that are in use for too long: nothing else tells of a server, or of a network on the way to it, that takes
 * everything and says nothing. Whoever uses one hears of it, and the pool forgets it.
 */
function endWhatHangs(pool: Pool, timeoutMs: number) {
  const timers = new Map<PoolClient, NodeJS.Timeout>();
  pool.on("acquire", (client) => {
    timers.set(
      client,
      setTimeout(() => client.end(), timeoutMs),
    );
  });
  pool.on("release", (_, client) => {
    clearTimeout(timers.get(client));
    timers.delete(client);
  });
  return {
    /** For those that are in use now. */
    liftLimits(): void {
      for (const timer of timers.values()) clearTimeout(timer);
    },
  };
}

interface Catalog {
  readonly serverVersion: number;
  readonly server: string;
  readonly encoding: string;
  /** Null when no schema of the search path exists. */
  readonly schema: string | null;
  readonly ours: boolean;
  readonly tables: number;
}

async function readVersion(db: Kysely<Database>, place: string): Promise<number> {
  const { rows } = await sql<Catalog>`
    select current_setting('server_version_num')::integer as server_version,
      current_setting('server_version') as server,
      current_setting('server_encoding') as encoding,
      current_schema() as schema,
      coalesce(bool_or(relation.relname = 'millrace_store'), false) as ours,
      count(relation.oid) as tables
    from (select) as one left join pg_class as relation
      on relation.relnamespace = (select oid from pg_namespace where nspname = current_schema())
        and relation.relkind in ('r', 'p')
        and not exists (select from pg_depend as part
          where part.classid = 'pg_class'::regclass and part.objid = relation.oid and part.deptype = 'e')`.execute(
    db,
  );
  const [catalog] = rows;
  if (catalog === undefined) throw new TypeError("The server's catalog gave no row.");
  requireUsable(catalog, place);
  if (!catalog.ours) return 0;
  const versions = await sql<{ version: number }>`select version from millrace_store`.execute(db);
  return versions.rows[0]?.version ?? 0;
}

/** @throws MillraceError `STORE_TOO_OLD`, `STORE_ENCODING`, `STORE_MISSING`, `STORE_FOREIGN` */
function requireUsable(catalog: Catalog, place: string): void {
  const { serverVersion, server, encoding, schema, ours, tables } = catalog;
  const refuse = (code: string, message: string, action: string): MillraceError =>
    new MillraceError({ class: "usage", code, message, action, details: { store: place } });
  if (serverVersion < MIN_VERSION * 10_000)
    throw refuse(
      "STORE_TOO_OLD",
      `The store ${place} is on PostgreSQL ${server}; Millrace needs ${MIN_VERSION} or newer.`,
      "Update the server, or set the store's URL to another one.",
    );
  if (encoding !== "UTF8")
    throw refuse(
      "STORE_ENCODING",
      `The database ${place} has the encoding ${encoding}, which cannot keep every text.`,
      "Create one with: create database … encoding 'UTF8' template template0",
    );
  if (schema === null)
    throw refuse(
      "STORE_MISSING",
      `The database ${place} has none of the schemas in the user's search path.`,
      "Create the schema, or correct ?options=-csearch_path=… in the store's URL.",
    );
  if (!ours && tables > 0)
    throw refuse(
      "STORE_FOREIGN",
      `The schema "${schema}" of ${place} holds tables of another program.`,
      "Give the store a database of its own, or a schema: create schema millrace, and add ?options=-csearch_path=millrace to the store's URL.",
    );
}

class LockTimeoutDialect extends PostgresDialect {
  readonly #config: PostgresDialectConfig;
  readonly #lockTimeoutMs: number;

  constructor(config: PostgresDialectConfig, lockTimeoutMs: number) {
    super(config);
    this.#config = config;
    this.#lockTimeoutMs = lockTimeoutMs;
  }

  override createDriver(): PostgresDriver {
    return new LockTimeoutDriver(this.#config, this.#lockTimeoutMs);
  }
}

/** Set for each transaction, and not for the session, which is not ours where a connection pooler stands between. */
class LockTimeoutDriver extends PostgresDriver {
  readonly #begin: CompiledQuery;

  constructor(config: PostgresDialectConfig, lockTimeoutMs: number) {
    super(config);
    this.#begin = CompiledQuery.raw(
      `begin; set local lock_timeout = ${Math.max(1, Math.ceil(lockTimeoutMs))}`,
    );
  }

  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(this.#begin);
  }
}
