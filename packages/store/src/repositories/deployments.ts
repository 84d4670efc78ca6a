import { type DeploymentRecord, MillraceError } from "@millrace/core";
import type { Kysely, Selectable, Transaction, Updateable } from "kysely";
import type { Access } from "../access.ts";
import type { Database } from "../database.ts";
import { fromJsonColumn, toJsonColumn } from "../json-column.ts";
import { limitOf, pageOf, positionOf } from "../page.ts";
import type { DeploymentFilter, DeploymentPatch, Store } from "../store.ts";
import { onlyMatch } from "./id-prefix.ts";
import { requireSnapshot } from "./snapshots.ts";

export function deploymentRepository(access: Access): Store["deployments"] {
  const { now, newId, read, write, guarded } = access;
  return {
    create: (deployment) =>
      write(async (transaction) => {
        const time = now();
        const id = newId();
        const { numInsertedOrUpdatedRows } = await transaction
          .insertInto("deployments")
          .values({
            id,
            projectId: deployment.projectId,
            name: deployment.name,
            userId: deployment.userId,
            stack: deployment.stack,
            deployer: deployment.deployer,
            flavor: deployment.flavor,
            deployerSettings: toJsonColumn(deployment.deployerSettings),
            snapshotId: null,
            revision: null,
            status: "ABSENT",
            statusReason: null,
            observedAt: null,
            url: null,
            authKeyHash: null,
            metadata: toJsonColumn({}),
            createdAt: time,
            updatedAt: time,
          })
          .onConflict((conflict) => conflict.columns(["projectId", "name"]).doNothing())
          .executeTakeFirst();
        if (numInsertedOrUpdatedRows !== 1n) throw deploymentExists(deployment.name);
        return getDeployment(transaction, id);
      }),
    find: (projectId, idOrName) =>
      read(async (db) => {
        const inProject = () =>
          selectDeployments(db).where("deployments.projectId", "=", projectId);
        const exact = await inProject()
          .where((eb) =>
            eb.or([eb("deployments.id", "=", idOrName), eb("deployments.name", "=", idOrName)]),
          )
          .execute();
        const match =
          exact.find((row) => row.id === idOrName) ??
          exact[0] ??
          (await onlyMatch("deployment", idOrName, (range) =>
            inProject()
              .where("deployments.id", ">=", range.from)
              .where("deployments.id", "<", range.to)
              .limit(range.limit)
              .execute(),
          ));
        return match === null ? null : toDeployment(match);
      }),
    findBySnapshot: (projectId, snapshotId) =>
      read(async (db) => {
        const row = await selectDeployments(db)
          .where("deployments.projectId", "=", projectId)
          .where("deployments.snapshotId", "=", snapshotId)
          .executeTakeFirst();
        return row === undefined ? null : toDeployment(row);
      }),
    list: (projectId, filter = {}) => read((db) => listDeployments(db, projectId, filter)),
    update: (id, patch, lease) =>
      guarded(lease, async (transaction) => {
        await patchDeployment(transaction, id, patch, now());
        return getDeployment(transaction, id);
      }),
    delete: (id, lease) =>
      guarded(lease, async (transaction) => {
        const { numDeletedRows } = await transaction
          .deleteFrom("deployments")
          .where("id", "=", id)
          .executeTakeFirst();
        return numDeletedRows > 0n;
      }),
  };
}

/** Changes a deployment inside a transaction that holds its lease. */
export async function patchDeployment(
  transaction: Transaction<Database>,
  id: string,
  patch: DeploymentPatch,
  time: number,
): Promise<void> {
  if (patch.snapshotId != null) {
    await requireSnapshot(transaction, id, patch.snapshotId);
    await requireUndeployed(transaction, id, patch.snapshotId);
  }
  if (patch.name !== undefined) await requireFreeName(transaction, id, patch.name);
  const { numUpdatedRows } = await transaction
    .updateTable("deployments")
    .set({ ...toColumns(patch), updatedAt: time })
    .where("id", "=", id)
    .executeTakeFirst();
  if (numUpdatedRows === 0n) throw deploymentNotFound(id);
}

const PATCHED = [
  "name",
  "snapshotId",
  "revision",
  "status",
  "statusReason",
  "observedAt",
  "url",
  "authKeyHash",
  "userId",
] as const satisfies readonly (keyof DeploymentPatch)[];

function toColumns(patch: DeploymentPatch): Updateable<Database["deployments"]> {
  const { deployerSettings, metadata } = patch;
  return {
    ...Object.fromEntries(PATCHED.map((column) => [column, patch[column]])),
    ...(deployerSettings === undefined ? {} : { deployerSettings: toJsonColumn(deployerSettings) }),
    ...(metadata === undefined ? {} : { metadata: toJsonColumn(metadata) }),
  };
}

async function listDeployments(db: Kysely<Database>, projectId: string, filter: DeploymentFilter) {
  const limit = limitOf(filter);
  const position = positionOf("deployments", filter.cursor);
  let select = selectDeployments(db)
    .leftJoin("snapshots", (join) =>
      join
        .onRef("snapshots.projectId", "=", "deployments.projectId")
        .onRef("snapshots.id", "=", "deployments.snapshotId"),
    )
    .leftJoin("pipelines", "pipelines.id", "snapshots.pipelineId")
    .select(["snapshots.name as snapshotName", "pipelines.name as pipelineName"])
    .where("deployments.projectId", "=", projectId)
    .orderBy("deployments.id", "desc")
    .limit(limit + 1);
  if (position !== null) select = select.where("deployments.id", "<", position.id);
  if (filter.status !== undefined) select = select.where("deployments.status", "=", filter.status);
  if (filter.pipeline !== undefined) select = select.where("pipelines.name", "=", filter.pipeline);
  if (filter.deployer !== undefined)
    select = select.where("deployments.deployer", "=", filter.deployer);
  if (filter.userId !== undefined) select = select.where("deployments.userId", "=", filter.userId);
  const rows = await select.execute();
  return pageOf(
    "deployments",
    rows,
    limit,
    ({ createdAt, id }) => ({ time: createdAt, id }),
    ({ pipelineName, snapshotName, ...row }) => ({
      ...toDeployment(row),
      pipelineName,
      snapshotName,
    }),
  );
}

type DeploymentRow = Selectable<Database["deployments"]> & { readonly userName: string };

function selectDeployments(db: Kysely<Database>) {
  return db
    .selectFrom("deployments")
    .innerJoin("users", "users.id", "deployments.userId")
    .selectAll("deployments")
    .select("users.name as userName");
}

async function getDeployment(
  transaction: Transaction<Database>,
  id: string,
): Promise<DeploymentRecord> {
  const row = await selectDeployments(transaction)
    .where("deployments.id", "=", id)
    .executeTakeFirst();
  if (row === undefined) throw deploymentNotFound(id);
  return toDeployment(row);
}

function toDeployment(row: DeploymentRow): DeploymentRecord {
  return {
    ...row,
    deployerSettings: fromJsonColumn(row.deployerSettings),
    metadata: fromJsonColumn(row.metadata),
  };
}

/** A snapshot has at most one deployment. The unique index enforces it too; this says which one. */
async function requireUndeployed(
  transaction: Transaction<Database>,
  id: string,
  snapshotId: string,
) {
  const other = await transaction
    .selectFrom("deployments as other")
    .innerJoin("deployments as own", "own.projectId", "other.projectId")
    .select(["other.id", "other.name"])
    .where("own.id", "=", id)
    .where("other.snapshotId", "=", snapshotId)
    .where("other.id", "<>", id)
    .executeTakeFirst();
  if (other === undefined) return;
  throw new MillraceError({
    class: "conflict",
    code: "SNAPSHOT_DEPLOYED",
    message: `This snapshot is deployed as "${other.name}" already, and a snapshot has at most one deployment.`,
    action: `Update that one (--name ${other.name}), or delete it first: npx millrace deployment delete ${other.name}`,
    details: { snapshotId, deploymentId: other.id, deploymentName: other.name },
  });
}

async function requireFreeName(transaction: Transaction<Database>, id: string, name: string) {
  const other = await transaction
    .selectFrom("deployments as other")
    .innerJoin("deployments as own", "own.projectId", "other.projectId")
    .select("other.id")
    .where("own.id", "=", id)
    .where("other.name", "=", name)
    .where("other.id", "<>", id)
    .executeTakeFirst();
  if (other !== undefined) throw deploymentExists(name);
}

function deploymentExists(name: string): MillraceError {
  return new MillraceError({
    class: "conflict",
    code: "DEPLOYMENT_EXISTS",
    message: `There is a deployment named "${name}" already.`,
    action: "Take another name, or update that one.",
    details: { deploymentName: name },
  });
}

function deploymentNotFound(id: string): MillraceError {
  return new MillraceError({
    class: "not_found",
    code: "DEPLOYMENT_NOT_FOUND",
    message: `There is no deployment with the id ${id}.`,
    action: "It was deleted meanwhile: list the deployments to see what is there.",
    details: { deploymentId: id },
  });
}
