import { statSync } from "node:fs";
import type { StatementSync } from "node:sqlite";
import { type Origin, RUN_COLUMNS, VALUES_PER_RUN, type Value } from "../recorder/batch.ts";
import {
  INTERRUPTED,
  type Overdue,
  type Retention,
  type RunWriter,
} from "../recorder/run-writer.ts";
import { REPLACES } from "../run-codec.ts";
import { isBusy } from "./error.ts";
import { DatabaseSync } from "./node-sqlite.ts";

/** Rows of the larger insert: fewer calls into SQLite. */
const ROWS = 16;
/** SQLite takes a partial index only where the query repeats the index's condition: without it this reads all runs. */
export const INTERRUPT = `update runs set status = 'interrupted', error = ?
  where status = 'running' and status <> 'completed' and id < ?
    and origin_id in (select id from run_origins where deployment_id = ?)`;
/** Pages of the log that are moved into the file at once: at SQLite's own 1000 the writer takes a core for 2 ms at a time. */
const CHECKPOINT_PAGES = 100;
/** How long a write waits for other writers before the spool takes its runs: requests wait for it. */
const BUSY_TIMEOUT_MS = 250;
/** The same while the store is known to be locked. */
const SHORT_BUSY_TIMEOUT_MS = 10;

/** Writes runs with prepared statements on a connection of its own. It never makes or changes the store's tables. */
export class SqliteRunWriter implements RunWriter {
  readonly #file: string;
  readonly #durable: boolean;
  #connection: Connection | undefined;
  #failed = false;

  /** `durable`: a commit survives the death of the machine, not only that of the process. */
  constructor(file: string, durable: boolean) {
    this.#file = file;
    this.#durable = durable;
  }

  write(values: readonly Value[], origins: readonly Origin[]): void {
    this.#transaction((connection) => connection.insert(values, origins));
  }

  writeSpooled(values: readonly Value[], origins: readonly Origin[]): void {
    this.write(values, origins);
  }

  interrupt(overdue: Overdue): number {
    return this.#transaction((connection) => connection.interrupt(overdue));
  }

  prune(retention: Retention, limit: number): number {
    return this.#transaction((connection) => connection.prune(retention, limit));
  }

  isPassing(thrown: unknown): boolean {
    return isBusy(thrown);
  }

  close(): void {
    this.#connection?.database.close();
    this.#connection = undefined;
  }

  #transaction<T>(work: (connection: Connection) => T): T {
    try {
      const connection = this.#connect();
      connection.begin.run();
      const result = work(connection);
      connection.commit.run();
      if (this.#failed) connection.waitFor(BUSY_TIMEOUT_MS);
      this.#failed = false;
      return result;
    } catch (thrown) {
      // Closing rolls back, and forgets what may have changed under us.
      this.close();
      this.#failed = true;
      throw thrown;
    }
  }

  /** A file that was deleted or replaced would go on to take runs that nobody finds again. */
  #connect(): Connection {
    const identity = fileIdentity(this.#file);
    if (this.#connection !== undefined && this.#connection.identity !== identity) this.close();
    if (this.#connection === undefined) {
      this.#connection = new Connection(this.#file, identity, this.#durable);
      this.#connection.waitFor(this.#failed ? SHORT_BUSY_TIMEOUT_MS : BUSY_TIMEOUT_MS);
    }
    return this.#connection;
  }
}

function fileIdentity(file: string): string {
  const { dev, ino } = statSync(file);
  return `${dev}:${ino}`;
}

class Connection {
  readonly database: DatabaseSync;
  readonly identity: string;
  readonly begin: StatementSync;
  readonly commit: StatementSync;
  readonly #insertRows: StatementSync;
  readonly #insertRow: StatementSync;
  /** Row ids of origins by their number in the batches. */
  readonly #originIds = new Map<Origin, number>();

  constructor(file: string, identity: string, durable: boolean) {
    this.identity = identity;
    this.database = new DatabaseSync(file);
    try {
      this.database.exec(
        `pragma synchronous = ${durable ? "full" : "normal"}; pragma wal_autocheckpoint = ${CHECKPOINT_PAGES}`,
      );
      this.begin = this.database.prepare("begin immediate");
      this.commit = this.database.prepare("commit");
      this.#insertRows = this.database.prepare(insertSql(ROWS));
      this.#insertRow = this.database.prepare(insertSql(1));
    } catch (thrown) {
      this.database.close();
      throw thrown;
    }
  }

  waitFor(ms: number): void {
    this.database.exec(`pragma busy_timeout = ${ms}`);
  }

  insert(values: readonly Value[], origins: readonly Origin[]): void {
    const bound = values.slice();
    for (let i = 0; i < bound.length; i += VALUES_PER_RUN)
      bound[i] = this.#originId(origins[Number(bound[i])]);
    let start = 0;
    for (; start + ROWS * VALUES_PER_RUN <= bound.length; start += ROWS * VALUES_PER_RUN)
      this.#insertRows.run(...bound.slice(start, start + ROWS * VALUES_PER_RUN));
    for (; start < bound.length; start += VALUES_PER_RUN)
      this.#insertRow.run(...bound.slice(start, start + VALUES_PER_RUN));
  }

  prune({ projectId, deploymentId, beforeId }: Retention, limit: number): number {
    const origins = this.database
      .prepare(
        `select id from run_origins where project_id = ? and (
          deployment_id = ?
          or (deployment_id <> '' and deployment_id not in (select id from deployments)))`,
      )
      .all(projectId, deploymentId);
    const remove = this.database.prepare(
      `delete from runs where id in
        (select id from runs where origin_id = ? and id < ? order by id limit ?)`,
    );
    let pruned = 0;
    for (const origin of origins) {
      if (pruned >= limit) break;
      pruned += Number(remove.run(origin["id"] ?? null, beforeId, limit - pruned).changes);
    }
    return pruned;
  }

  interrupt({ deploymentId, beforeId }: Overdue): number {
    const { changes } = this.database
      .prepare(INTERRUPT)
      .run(JSON.stringify(INTERRUPTED), beforeId, deploymentId);
    return Number(changes);
  }

  #originId(origin: Origin | undefined): number {
    if (origin === undefined) throw new RangeError("A run names an origin that was not sent.");
    const known = this.#originIds.get(origin);
    if (known !== undefined) return known;
    this.database
      .prepare(
        `insert into run_origins (project_id, pipeline_name, snapshot_id, deployment_id)
        values (?, ?, ?, ?) on conflict do nothing`,
      )
      .run(...origin);
    const row = this.database
      .prepare(
        `select id from run_origins
        where project_id = ? and pipeline_name = ? and snapshot_id = ? and deployment_id = ?`,
      )
      .get(...origin);
    const id = Number(row?.["id"]);
    this.#originIds.set(origin, id);
    return id;
  }
}

function insertSql(rows: number): string {
  const row = `(${RUN_COLUMNS.map(() => "?").join(", ")})`;
  return `insert into runs (${RUN_COLUMNS.join(", ")}) values ${Array(rows).fill(row).join(", ")}
    on conflict (id) do update set status = excluded.status, duration_ms = excluded.duration_ms,
      outputs = excluded.outputs, steps = excluded.steps, error = excluded.error
    where ${REPLACES}`;
}
