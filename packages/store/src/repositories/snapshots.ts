import { MillraceError, type SnapshotRecord } from "@millrace/core";
import type { Kysely, Transaction } from "kysely";
import type { Access } from "../access.ts";
import type { Database } from "../database.ts";
import { limitOf, pageOf, positionOf } from "../page.ts";
import type { Store } from "../store.ts";
import { onlyMatch } from "./id-prefix.ts";

export function snapshotRepository({ now, read, write }: Access): Store["snapshots"] {
  return {
    ensure: ({ id, projectId, pipelineId, name, description }, options = {}) =>
      write(async (transaction) => {
        if (name !== null)
          await freeName(transaction, { id, projectId, name }, options.replaceName ?? false);
        await transaction
          .insertInto("snapshots")
          .values({ id, projectId, pipelineId, name, description, createdAt: now() })
          .onConflict((conflict) => {
            const known = conflict.columns(["projectId", "id"]);
            const given = {
              ...(name === null ? {} : { name }),
              ...(description === null ? {} : { description }),
            };
            return Object.keys(given).length === 0 ? known.doNothing() : known.doUpdateSet(given);
          })
          .execute();
        return selectSnapshots(transaction)
          .where("snapshots.projectId", "=", projectId)
          .where("snapshots.id", "=", id)
          .executeTakeFirstOrThrow();
      }),
    find: (projectId, idOrName) =>
      read(async (db) => {
        const inProject = () => selectSnapshots(db).where("snapshots.projectId", "=", projectId);
        const exact = await inProject()
          .where((eb) =>
            eb.or([eb("snapshots.id", "=", idOrName), eb("snapshots.name", "=", idOrName)]),
          )
          .execute();
        return (
          exact.find((row) => row.id === idOrName) ??
          exact[0] ??
          onlyMatch("snapshot", idOrName, (range) =>
            inProject()
              .where("snapshots.id", ">=", range.from)
              .where("snapshots.id", "<", range.to)
              .limit(range.limit)
              .execute(),
          )
        );
      }),
    list: (projectId, query = {}) =>
      read(async (db) => {
        const limit = limitOf(query);
        const position = positionOf("snapshots", query.cursor);
        let select = selectSnapshots(db)
          .where("snapshots.projectId", "=", projectId)
          .orderBy("snapshots.createdAt", "desc")
          .orderBy("snapshots.id", "desc")
          .limit(limit + 1);
        if (query.pipeline !== undefined)
          select = select.where("pipelines.name", "=", query.pipeline);
        if (position !== null)
          select = select.where((eb) =>
            eb.or([
              eb("snapshots.createdAt", "<", position.time),
              eb.and([
                eb("snapshots.createdAt", "=", position.time),
                eb("snapshots.id", "<", position.id),
              ]),
            ]),
          );
        const rows = await select.execute();
        return pageOf(
          "snapshots",
          rows,
          limit,
          ({ createdAt, id }) => ({ time: createdAt, id }),
          (row) => row,
        );
      }),
    delete: (projectId, id) =>
      write(async (transaction) => {
        if (!(await holdSnapshot(transaction, projectId, id))) return false;
        await requireUnused(transaction, projectId, id);
        await transaction
          .deleteFrom("snapshots")
          .where("projectId", "=", projectId)
          .where("id", "=", id)
          .execute();
        return true;
      }),
  };
}

function selectSnapshots(db: Kysely<Database>) {
  return db
    .selectFrom("snapshots")
    .innerJoin("pipelines", "pipelines.id", "snapshots.pipelineId")
    .selectAll("snapshots")
    .select("pipelines.name as pipelineName");
}

/**
 * Sees that the snapshot of a deployment is there, and that it stays until the transaction ends.
 * @throws MillraceError `SNAPSHOT_NOT_FOUND`
 */
export async function requireSnapshot(
  transaction: Transaction<Database>,
  deploymentId: string,
  id: string,
): Promise<void> {
  const deployment = await transaction
    .selectFrom("deployments")
    .select("projectId")
    .where("id", "=", deploymentId)
    .executeTakeFirst();
  // That a deployment is gone is told by what changes it.
  if (deployment === undefined || (await holdSnapshot(transaction, deployment.projectId, id)))
    return;
  throw new MillraceError({
    class: "not_found",
    code: "SNAPSHOT_NOT_FOUND",
    message: `The snapshot ${id.slice(0, 19)} was deleted meanwhile.`,
    action: "Deploy the pipeline again, which makes it anew.",
    details: { snapshotId: id },
  });
}

/** An update that changes nothing: it locks the row until the transaction ends. False when there is none. */
async function holdSnapshot(
  transaction: Transaction<Database>,
  projectId: string,
  id: string,
): Promise<boolean> {
  const { numUpdatedRows } = await transaction
    .updateTable("snapshots")
    .set((eb) => ({ createdAt: eb.ref("createdAt") }))
    .where("projectId", "=", projectId)
    .where("id", "=", id)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

interface NamedSnapshot extends Pick<SnapshotRecord, "id" | "projectId"> {
  readonly name: string;
}

/** Sees that no other snapshot has the name. @throws MillraceError `SNAPSHOT_NAME_TAKEN` */
async function freeName(
  transaction: Transaction<Database>,
  { id, projectId, name }: NamedSnapshot,
  replace: boolean,
): Promise<void> {
  const other = await transaction
    .selectFrom("snapshots")
    .select("id")
    .where("projectId", "=", projectId)
    .where("name", "=", name)
    .where("id", "<>", id)
    .executeTakeFirst();
  if (other === undefined) return;
  if (!replace) throw nameTaken(name, other.id);
  await transaction
    .updateTable("snapshots")
    .set({ name: null })
    .where("projectId", "=", projectId)
    .where("id", "=", other.id)
    .execute();
}

/** @throws MillraceError `SNAPSHOT_IN_USE` */
async function requireUnused(transaction: Transaction<Database>, projectId: string, id: string) {
  const deployment = await transaction
    .selectFrom("deployments")
    .select("name")
    .where("projectId", "=", projectId)
    .where("snapshotId", "=", id)
    .executeTakeFirst();
  if (deployment !== undefined)
    throw inUse(id, `the deployment "${deployment.name}"`, "Delete the deployment first.");
  const unfinished = await transaction
    .selectFrom("operations as operation")
    .innerJoin("deployments", "deployments.id", "operation.deploymentId")
    .select("deployments.name")
    .where("deployments.projectId", "=", projectId)
    .where("operation.snapshotId", "=", id)
    .where("operation.outcome", "not in", ["succeeded", "failed"])
    // A refresh changes nothing on the platform.
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom("operations as later")
            .select("later.id")
            .whereRef("later.deploymentId", "=", "operation.deploymentId")
            .whereRef("later.id", ">", "operation.id")
            .where("later.outcome", "=", "succeeded")
            .where("later.kind", "<>", "refresh"),
        ),
      ),
    )
    .limit(1)
    .executeTakeFirst();
  if (unfinished !== undefined)
    throw inUse(
      id,
      `an operation of the deployment "${unfinished.name}", which may bring it into service yet`,
      "Wait for its end, or bring another snapshot into service there, or delete the deployment.",
    );
  const run = await transaction
    .selectFrom("runOrigins")
    .innerJoin("runs", "runs.originId", "runOrigins.id")
    .select("runs.id")
    .where("runOrigins.projectId", "=", projectId)
    .where("runOrigins.snapshotId", "=", id)
    .limit(1)
    .executeTakeFirst();
  if (run !== undefined)
    throw inUse(
      id,
      `the run ${run.id}, and maybe others`,
      `Delete its runs first: npx millrace run prune --older-than 0s --snapshot ${id.slice(7, 19)}`,
    );
}

function inUse(id: string, by: string, action: string): MillraceError {
  return new MillraceError({
    class: "conflict",
    code: "SNAPSHOT_IN_USE",
    message: `The snapshot ${id.slice(0, 19)} is used by ${by}.`,
    action,
    details: { snapshotId: id },
  });
}

function nameTaken(name: string, otherId: string): MillraceError {
  return new MillraceError({
    class: "conflict",
    code: "SNAPSHOT_NAME_TAKEN",
    message: `The snapshot ${otherId.slice(0, 19)} has the name "${name}".`,
    action: "Take another name, or let this snapshot take it over.",
    details: { snapshotId: otherId },
  });
}
