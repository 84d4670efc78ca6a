import {
  MillraceError,
  partsOfDefaultRunName,
  type RunRecord,
  type RunStatus,
  uuidv7Floor,
} from "@millrace/core";
import {
  type ExpressionBuilder,
  type Kysely,
  type Selectable,
  sql,
  type Transaction,
} from "kysely";
import type { Access } from "../access.ts";
import type { Database } from "../database.ts";
import {
  fromJsonColumn,
  fromNullableJsonColumn,
  toJsonColumn,
  toNullableJsonColumn,
} from "../json-column.ts";
import { limitOf, pageOf, positionOf } from "../page.ts";
import {
  decodeStep,
  encodeSteps,
  nameColumn,
  nameOf,
  oncePerRun,
  REPLACES,
  roundMs,
  type StepTuple,
} from "../run-codec.ts";
import type { OldRuns, RunFilter, RunSummary, Store } from "../store.ts";
import { onlyMatch } from "./id-prefix.ts";

/** Rows of one insert: keeps the number of bind values below what every database takes. */
const INSERT_ROWS = 500;
/** How many of the newest runs a list looks through before it goes by the index of each origin. */
const WINDOW = 2000;
/** Of how many origins old runs are deleted in one transaction. */
const ORIGINS = 100;
/** Greater than every id. */
const AFTER_ALL_IDS = "~";

export function runRepository({ lateral, read, write }: Access): Store["runs"] {
  return {
    record: (runs) => write((transaction) => recordRuns(transaction, runs)),
    find: (projectId, idOrName) =>
      read(async (db) => {
        const run = await findRun(db, projectId, idOrName);
        return run === null ? null : toRun(run);
      }),
    list: (projectId, filter = {}) =>
      read(async (db) => {
        const limit = limitOf(filter);
        const ids = await listIds(db, wantedOf(db, projectId, filter, limit + 1), lateral);
        const rows = await summariesOf(db, ids);
        return pageOf(
          "runs",
          rows,
          limit,
          ({ startedAt, id }) => ({ time: startedAt, id }),
          ({ deploymentName, ...row }) => ({ ...toHead(row), deploymentName }),
        );
      }),
    delete: (projectId, ids) => write((transaction) => deleteRuns(transaction, projectId, ids)),
    countOld: (projectId, old) =>
      read(async (db) => {
        const wanted = {
          ...wantedOf(db, projectId, old, Number.MAX_SAFE_INTEGER),
          to: uuidv7Floor(old.before),
        };
        // Without the status an index alone tells; the few that are running have one of their own.
        const all = await db
          .selectFrom("runs")
          .select((eb) => eb.fn.countAll().as("count"))
          .where("originId", "in", wanted.origins)
          .where("id", "<", wanted.to)
          .executeTakeFirstOrThrow();
        const running = (await idsByStatus(db, wanted, "running").execute()).length;
        return { ended: Number(all.count) - running, running };
      }),
    deleteOld: (projectId, old, limit) =>
      write((transaction) => deleteOldRuns(transaction, projectId, old, limit)),
  };
}

async function recordRuns(
  transaction: Transaction<Database>,
  runs: readonly RunRecord[],
): Promise<number> {
  const origins = new Map<string, number>();
  const rows = [];
  for (const run of oncePerRun(runs, (one) => one)) {
    const key = JSON.stringify([run.projectId, run.pipelineName, run.snapshotId, run.deploymentId]);
    const originId = origins.get(key) ?? (await ensureOrigin(transaction, run));
    origins.set(key, originId);
    rows.push({ ...toColumns(run), originId });
  }
  let written = 0;
  for (let start = 0; start < rows.length; start += INSERT_ROWS) {
    const { numInsertedOrUpdatedRows = 0n } = await transaction
      .insertInto("runs")
      .values(rows.slice(start, start + INSERT_ROWS))
      .onConflict((conflict) =>
        conflict
          .column("id")
          .doUpdateSet((eb) => ({
            status: eb.ref("excluded.status"),
            durationMs: eb.ref("excluded.durationMs"),
            outputs: eb.ref("excluded.outputs"),
            steps: eb.ref("excluded.steps"),
            error: eb.ref("excluded.error"),
          }))
          .where(sql<boolean>`(${sql.raw(REPLACES)})`),
      )
      .executeTakeFirstOrThrow();
    written += Number(numInsertedOrUpdatedRows);
  }
  return written;
}

function toColumns(run: RunRecord) {
  return {
    id: run.id,
    name: nameColumn(run),
    status: run.status,
    startedAt: run.startedAt,
    durationMs: roundMs(run.durationMs),
    inputs: toJsonColumn(run.inputs),
    outputs: toNullableJsonColumn(run.outputs),
    steps: encodeSteps(run.steps),
    error: toNullableJsonColumn(run.error),
  };
}

async function deleteRuns(
  transaction: Transaction<Database>,
  projectId: string,
  ids: readonly string[],
): Promise<number> {
  let deleted = 0;
  for (const id of ids) {
    const run = await selectRuns(transaction)
      .where("runOrigins.projectId", "=", projectId)
      .where("runs.id", "=", id)
      .executeTakeFirst();
    if (run?.status === "running") throw stillRunning(nameOf(run.name, run.pipelineName, id), id);
    if (run === undefined) continue;
    await transaction.deleteFrom("runs").where("id", "=", id).execute();
    deleted += 1;
  }
  return deleted;
}

async function deleteOldRuns(
  transaction: Transaction<Database>,
  projectId: string,
  old: OldRuns,
  limit: number,
): Promise<number> {
  const before = uuidv7Floor(old.before);
  const origins = await originIds(transaction, projectId, old)
    .where(({ exists, selectFrom }) =>
      exists(
        selectFrom("runs")
          .select("runs.id")
          .whereRef("runs.originId", "=", "runOrigins.id")
          .where("runs.id", "<", before)
          .where("runs.status", "<>", "running"),
      ),
    )
    .limit(ORIGINS)
    .execute();
  let deleted = 0;
  for (const { id } of origins) {
    if (deleted >= limit) break;
    const oldest = transaction
      .selectFrom("runs")
      .select("id")
      .where("originId", "=", id)
      .where("id", "<", before)
      .where("status", "<>", "running")
      .orderBy("id")
      .limit(limit - deleted);
    const { numDeletedRows } = await transaction
      .deleteFrom("runs")
      .where("id", "in", oldest)
      .executeTakeFirstOrThrow();
    deleted += Number(numDeletedRows);
  }
  return deleted;
}

function stillRunning(name: string, id: string): MillraceError {
  return new MillraceError({
    class: "conflict",
    code: "RUN_RUNNING",
    message: `The run ${name} (${id}) is running, and its end would be recorded all the same.`,
    action: "Wait for its end. If its process was killed, it is deleted by its age.",
    details: { runId: id },
  });
}

async function ensureOrigin(transaction: Transaction<Database>, run: RunRecord): Promise<number> {
  const origin = {
    projectId: run.projectId,
    pipelineName: run.pipelineName,
    snapshotId: run.snapshotId,
    deploymentId: run.deploymentId ?? "",
  };
  await transaction
    .insertInto("runOrigins")
    .values(origin)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const row = await transaction
    .selectFrom("runOrigins")
    .select("id")
    .where("projectId", "=", origin.projectId)
    .where("pipelineName", "=", origin.pipelineName)
    .where("snapshotId", "=", origin.snapshotId)
    .where("deploymentId", "=", origin.deploymentId)
    .executeTakeFirstOrThrow();
  return row.id;
}

function selectRuns(db: Kysely<Database>) {
  return db
    .selectFrom("runs")
    .innerJoin("runOrigins", "runOrigins.id", "runs.originId")
    .select(["runs.id", "runs.name", "runs.status", "runs.startedAt", "runs.durationMs"])
    .select(["runs.error", "runOrigins.projectId", "runOrigins.pipelineName"])
    .select(["runOrigins.snapshotId", "runOrigins.deploymentId"]);
}

async function findRun(db: Kysely<Database>, projectId: string, idOrName: string) {
  const inProject = () =>
    selectRuns(db)
      .select(["runs.inputs", "runs.outputs", "runs.steps"])
      .where("runOrigins.projectId", "=", projectId);
  const byId = await inProject().where("runs.id", "=", idOrName).executeTakeFirst();
  if (byId !== undefined) return byId;
  const named = await inProject()
    .where("runs.name", "=", idOrName)
    .orderBy("runs.id", "desc")
    .limit(1)
    .executeTakeFirst();
  if (named !== undefined) return named;
  const byDefault = await idByDefaultName(db, projectId, idOrName);
  if (byDefault !== null)
    return (await inProject().where("runs.id", "=", byDefault).executeTakeFirst()) ?? null;
  return onlyMatch("run", idOrName, (range) =>
    inProject()
      .where("runs.id", ">=", range.from)
      .where("runs.id", "<", range.to)
      .limit(range.limit)
      .execute(),
  );
}

/** Reads the index of the pipeline's runs to the end: some tens of milliseconds for a million. */
async function idByDefaultName(db: Kysely<Database>, projectId: string, name: string) {
  const parts = partsOfDefaultRunName(name);
  if (parts === null) return null;
  const row = await db
    .selectFrom("runs")
    .select("id")
    .where("originId", "in", originIds(db, projectId, { pipeline: parts.pipelineName }))
    .where("id", "like", `%${parts.idEnd}`)
    .where("name", "is", null)
    .limit(1)
    .executeTakeFirst();
  return row?.id ?? null;
}

/**
 * The ids of a page. Most lists are filled from the newest runs; what is rare among them is found by the index of
 * failures, or by asking each origin for its newest runs: all read little however many runs there are.
 */
async function listIds(db: Kysely<Database>, wanted: Wanted, lateral: boolean) {
  const newest = await idsAmongNewest(db, wanted).execute();
  if (newest.length === wanted.count) return newest.map((row) => row.id);
  const { status } = wanted;
  const byOrigin = lateral ? idsByOriginLaterally : idsByOrigin;
  const rows =
    status === undefined || status === "completed"
      ? await byOrigin(db, wanted).execute()
      : await idsByStatus(db, wanted, status).execute();
  return rows.map((row) => row.id);
}

function wantedOf(
  db: Kysely<Database>,
  projectId: string,
  filter: RunFilter,
  count: number,
): Wanted {
  return {
    origins: originIds(db, projectId, filter),
    status: filter.status,
    to: positionOf("runs", filter.cursor)?.id ?? AFTER_ALL_IDS,
    from: filter.since === undefined ? "" : uuidv7Floor(filter.since),
    count,
  };
}

interface Wanted {
  readonly origins: ReturnType<typeof originIds>;
  readonly status: RunStatus | undefined;
  /** Ids from `from`, included, to `to`, excluded. */
  readonly from: string;
  readonly to: string;
  readonly count: number;
}

function idsAmongNewest(db: Kysely<Database>, { origins, status, from, to, count }: Wanted) {
  const newest = db
    .selectFrom("runs")
    .select(["id", "originId", "status"])
    .where("id", "<", to)
    .where("id", ">=", from)
    .orderBy("id", "desc")
    .limit(WINDOW)
    .as("newest");
  const select = db
    .selectFrom(newest)
    .select("newest.id")
    .where("newest.originId", "in", origins)
    .orderBy("newest.id", "desc")
    .limit(count);
  return status === undefined ? select : select.where("newest.status", "=", status);
}

function idsByStatus(
  db: Kysely<Database>,
  { origins, from, to, count }: Wanted,
  status: RunStatus,
) {
  return (
    db
      .selectFrom("runs")
      .select("id")
      .where("status", "=", status)
      // Says that the index of what did not complete will do.
      .where(sql<boolean>`status <> 'completed'`)
      .where((eb) => eb(withoutIndex("originId"), "in", origins))
      .where("id", "<", to)
      .where("id", ">=", from)
      .orderBy("id", "desc")
      .limit(count)
  );
}

function idsByOrigin(db: Kysely<Database>, wanted: Wanted) {
  return db
    .selectFrom("runOrigins as origin")
    .innerJoin("runs as run", "run.originId", "origin.id")
    .select("run.id")
    .where("origin.id", "in", wanted.origins)
    .where("run.id", "in", (eb) => newestOf(eb, wanted))
    .orderBy("run.id", "desc")
    .limit(wanted.count);
}

/** The same; a database that would run the subquery above for each run joins it instead. */
function idsByOriginLaterally(db: Kysely<Database>, wanted: Wanted) {
  return db
    .selectFrom("runOrigins as origin")
    .innerJoinLateral(
      (eb) => newestOf(eb, wanted).as("run"),
      (join) => join.onTrue(),
    )
    .select("run.id")
    .where("origin.id", "in", wanted.origins)
    .orderBy("run.id", "desc")
    .limit(wanted.count);
}

/** The newest runs of the origin that stands before. */
function newestOf(
  eb: ExpressionBuilder<Database & { origin: Database["runOrigins"] }, "origin">,
  { status, from, to, count }: Wanted,
) {
  const own = eb
    .selectFrom("runs as own")
    .select("own.id")
    .whereRef("own.originId", "=", "origin.id")
    .where("own.id", "<", to)
    .where("own.id", ">=", from)
    .orderBy("own.id", "desc")
    .limit(count);
  return status === undefined ? own : own.where("own.status", "=", status);
}

/** Keeps the planner from the column's index, where it would sort all that it finds there. */
function withoutIndex(column: "originId") {
  return sql<number>`${sql.ref(column)} + 0`;
}

function originIds(
  db: Kysely<Database>,
  projectId: string,
  filter: Pick<RunFilter, "deploymentId" | "pipeline"> & Pick<OldRuns, "snapshotId">,
) {
  let select = db.selectFrom("runOrigins").select("id").where("projectId", "=", projectId);
  if (filter.deploymentId !== undefined)
    select = select.where("deploymentId", "=", filter.deploymentId);
  if (filter.snapshotId !== undefined) select = select.where("snapshotId", "=", filter.snapshotId);
  if (filter.pipeline !== undefined) select = select.where("pipelineName", "=", filter.pipeline);
  return select;
}

async function summariesOf(db: Kysely<Database>, ids: readonly string[]) {
  if (ids.length === 0) return [];
  return selectRuns(db)
    .leftJoin("deployments", "deployments.id", "runOrigins.deploymentId")
    .select("deployments.name as deploymentName")
    .where("runs.id", "in", ids)
    .orderBy("runs.id", "desc")
    .execute();
}

type HeadRow = Pick<
  Selectable<Database["runs"]>,
  "id" | "name" | "status" | "startedAt" | "durationMs" | "error"
> &
  Pick<
    Selectable<Database["runOrigins"]>,
    "projectId" | "pipelineName" | "snapshotId" | "deploymentId"
  >;

function toHead(row: HeadRow): Omit<RunSummary, "deploymentName"> {
  return {
    ...row,
    name: nameOf(row.name, row.pipelineName, row.id),
    deploymentId: row.deploymentId === "" ? null : row.deploymentId,
    error: fromNullableJsonColumn(row.error),
  };
}

type RunRow = HeadRow & Pick<Selectable<Database["runs"]>, "inputs" | "outputs" | "steps">;

function toRun({ inputs, outputs, steps, ...row }: RunRow): RunRecord {
  return {
    ...toHead(row),
    inputs: fromJsonColumn(inputs),
    outputs: fromNullableJsonColumn(outputs),
    steps: fromJsonColumn<readonly StepTuple[]>(steps).map(decodeStep),
  };
}
