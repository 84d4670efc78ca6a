import type { Client } from "pg";
import { type Origin, RUN_COLUMNS, VALUES_PER_RUN, type Value } from "../recorder/batch.ts";
import {
  INTERRUPTED,
  type Overdue,
  type Retention,
  type RunWriter,
} from "../recorder/run-writer.ts";
import { oncePerRun, REPLACES } from "../run-codec.ts";
import { translatePostgresError } from "./error.ts";
import { placeOfPostgres } from "./url.ts";

/** How long a batch may take before the spool takes its runs: requests wait for it. */
const TIMEOUT_MS = 1000;
/** The same for what nothing waits for, beside the time that its bytes take. */
const PATIENT_TIMEOUT_MS = 5000;
/** What a link is assumed to carry at least, which is 1 Mbit/s: a large run would be cut, and sent anew, for ever. */
const LEAST_BYTES_PER_MS = 125;
/** A connection that is not used for so long is ended. The server has few, and opens a new one in some milliseconds. */
const IDLE_MS = 30_000;

/** Types of the columns of `RUN_COLUMNS`. */
const TYPES: Readonly<Record<(typeof RUN_COLUMNS)[number], string>> = {
  origin_id: "integer",
  id: "text",
  name: "text",
  status: "text",
  started_at: "bigint",
  duration_ms: "double precision",
  inputs: "text",
  outputs: "text",
  steps: "text",
  error: "text",
};
const STATUS = RUN_COLUMNS.indexOf("status");
const ID = RUN_COLUMNS.indexOf("id");

const INSERT = `insert into runs (${RUN_COLUMNS.join(", ")})
  select * from unnest(${RUN_COLUMNS.map((column, i) => `$${i + 1}::${TYPES[column]}[]`).join(", ")})
  on conflict (id) do update set status = excluded.status, duration_ms = excluded.duration_ms,
    outputs = excluded.outputs, steps = excluded.steps, error = excluded.error
  where ${REPLACES}`;

const FIND_ORIGIN = `select id from run_origins
  where project_id = $1 and pipeline_name = $2 and snapshot_id = $3 and deployment_id = $4`;
const MAKE_ORIGIN = `insert into run_origins (project_id, pipeline_name, snapshot_id, deployment_id)
  values ($1, $2, $3, $4) on conflict do nothing`;

const PRUNE = `delete from runs where id in (
  select old.id from run_origins as origin cross join lateral (
    select id from runs where origin_id = origin.id and id < $3 order by id limit $4) as old
  where origin.project_id = $1 and (origin.deployment_id = $2
    or (origin.deployment_id <> '' and origin.deployment_id not in (select id from deployments)))
  limit $4)`;

const INTERRUPT = `update runs set status = 'interrupted', error = $1
  where status = 'running' and id < $2
    and origin_id in (select id from run_origins where deployment_id = $3)`;

/**
 * Writes runs, a batch in one statement. It never makes or changes the store's tables. A reply that is lost leaves open
 * whether the runs were written: they are written again, and are there once.
 */
export class PostgresRunWriter implements RunWriter {
  readonly #batches: Line;
  /** A line of its own, so that no batch waits for what takes long. */
  readonly #patient: Line;

  /** `durable`: a commit is on the server's disk, whatever the server's or the user's default is. */
  constructor(url: string, durable: boolean) {
    this.#batches = new Line(url, durable, TIMEOUT_MS);
    this.#patient = new Line(url, durable, PATIENT_TIMEOUT_MS);
  }

  write(values: readonly Value[], origins: readonly Origin[]): Promise<void> {
    return this.#batches.transaction((client, originIds) =>
      insert(client, originIds, values, origins),
    );
  }

  writeSpooled(values: readonly Value[], origins: readonly Origin[]): Promise<void> {
    return this.#patient.transaction(
      (client, originIds) => insert(client, originIds, values, origins),
      PATIENT_TIMEOUT_MS + bytesOf(values) / LEAST_BYTES_PER_MS,
    );
  }

  async prune({ projectId, deploymentId, beforeId }: Retention, limit: number): Promise<number> {
    const { rowCount } = await this.#patient.transaction((client) =>
      client.query(PRUNE, [projectId, deploymentId, beforeId, limit]),
    );
    return rowCount ?? 0;
  }

  async interrupt({ deploymentId, beforeId }: Overdue): Promise<number> {
    const { rowCount } = await this.#patient.transaction((client) =>
      client.query(INTERRUPT, [JSON.stringify(INTERRUPTED), beforeId, deploymentId]),
    );
    return rowCount ?? 0;
  }

  isPassing(): boolean {
    return false;
  }

  async close(): Promise<void> {
    await Promise.all([this.#batches.close(), this.#patient.close()]);
  }
}

type Work<T> = (client: Client, originIds: Map<Origin, number>) => Promise<T>;

/** Transactions one after the other, on one connection that is opened when it is needed. */
class Line {
  readonly #url: string;
  readonly #durable: boolean;
  readonly #timeoutMs: number;
  #connection: Connection | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #idle: NodeJS.Timeout | undefined;

  constructor(url: string, durable: boolean, timeoutMs: number) {
    this.#url = url;
    this.#durable = durable;
    this.#timeoutMs = timeoutMs;
  }

  transaction<T>(work: Work<T>, timeoutMs = this.#timeoutMs): Promise<T> {
    const done = this.#last.then(() => this.#transaction(work, timeoutMs));
    this.#last = done.catch(() => undefined);
    return done;
  }

  async close(): Promise<void> {
    await this.#last;
    clearTimeout(this.#idle);
    await this.#connection?.end();
    this.#connection = undefined;
  }

  async #transaction<T>(work: Work<T>, timeoutMs: number): Promise<T> {
    clearTimeout(this.#idle);
    try {
      this.#connection ??= await this.#open();
      const result = await this.#connection.transaction(Math.ceil(timeoutMs), work);
      this.#idle = setTimeout(() => this.#drop(), IDLE_MS).unref();
      return result;
    } catch (thrown) {
      // The next transaction begins anew, and trusts nothing of what came before.
      this.#drop();
      throw translatePostgresError(thrown, placeOfPostgres(this.#url)) ?? thrown;
    }
  }

  #drop(): void {
    this.#connection?.drop();
    this.#connection = undefined;
  }

  async #open(): Promise<Connection> {
    // Loaded here, because services that record to SQLite share this module.
    const [{ Client }, { connectionSettings }] = await Promise.all([
      import("pg"),
      import("./connection.ts"),
    ]);
    const client = new Client(connectionSettings(this.#url, this.#timeoutMs));
    // Its queries tell of it; between them, the next one does.
    client.on("error", () => undefined);
    await client.connect();
    return new Connection(client, this.#durable);
  }
}

class Connection {
  /** Row ids of origins by their number in the batches. */
  readonly #originIds = new Map<Origin, number>();
  readonly #client: Client;
  readonly #durable: boolean;

  constructor(client: Client, durable: boolean) {
    this.#client = client;
    this.#durable = durable;
  }

  /** Here and at the server the time is limited: a server that hangs must not hang us, nor write much later. */
  async transaction<T>(timeoutMs: number, work: Work<T>): Promise<T> {
    const timer = setTimeout(() => this.drop(), timeoutMs);
    try {
      await this.#client.query(
        `begin; set local statement_timeout = ${timeoutMs}; set local lock_timeout = ${timeoutMs}${this.#durable ? "; set local synchronous_commit = on" : ""}`,
      );
      const result = await work(this.#client, this.#originIds);
      await this.#client.query("commit");
      return result;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends it at once; the server rolls back what was not committed. */
  drop(): void {
    this.end().catch(() => undefined);
  }

  end(): Promise<void> {
    return this.#client.end();
  }
}

async function insert(
  client: Client,
  originIds: Map<Origin, number>,
  values: readonly Value[],
  origins: readonly Origin[],
): Promise<void> {
  const rows = rowsOf(values);
  if (rows.length === 0) return;
  for (const row of rows) row[0] = await originId(client, originIds, origins[Number(row[0])]);
  await client.query(
    INSERT,
    RUN_COLUMNS.map((_, column) => rows.map((row) => row[column])),
  );
}

/** One row per run, and without the null character, which PostgreSQL's text cannot hold. */
function rowsOf(values: readonly Value[]): Value[][] {
  const rows: Value[][] = [];
  for (let start = 0; start < values.length; start += VALUES_PER_RUN)
    rows.push(values.slice(start, start + VALUES_PER_RUN).map(withoutNull));
  return oncePerRun(rows, (row) => ({ id: row[ID], status: row[STATUS] }));
}

function bytesOf(values: readonly Value[]): number {
  return values.reduce<number>(
    (sum, value) => sum + (typeof value === "string" ? Buffer.byteLength(value) : 8),
    0,
  );
}

function withoutNull<T extends Value>(value: T): T | string {
  return typeof value === "string" && value.includes("\0")
    ? value.replaceAll("\0", "\ufffd")
    : value;
}

async function originId(
  client: Client,
  known: Map<Origin, number>,
  origin: Origin | undefined,
): Promise<number> {
  if (origin === undefined) throw new RangeError("A run names an origin that was not sent.");
  const id = known.get(origin);
  if (id !== undefined) return id;
  const texts = origin.map(withoutNull);
  // Looked for first: an insert that finds the row there uses up a number nevertheless.
  let { rows } = await client.query(FIND_ORIGIN, texts);
  if (rows.length === 0) {
    await client.query(MAKE_ORIGIN, texts);
    ({ rows } = await client.query(FIND_ORIGIN, texts));
  }
  const found: unknown = rows[0]?.id;
  if (typeof found !== "number") throw new TypeError("The origin of a run has no number.");
  known.set(origin, found);
  return found;
}
