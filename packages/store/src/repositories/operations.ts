import { MillraceError, type OperationRecord } from "@millrace/core";
import type { Selectable } from "kysely";
import type { Access } from "../access.ts";
import type { Database } from "../database.ts";
import {
  fromJsonColumn,
  fromNullableJsonColumn,
  toJsonColumn,
  toNullableJsonColumn,
} from "../json-column.ts";
import { limitOf, pageOf, positionOf } from "../page.ts";
import type { Store } from "../store.ts";
import { patchDeployment } from "./deployments.ts";
import { requireSnapshot } from "./snapshots.ts";

export function operationRepository({ now, newId, read, guarded }: Access): Store["operations"] {
  return {
    begin: (operation, patch, lease) =>
      guarded(lease, async (transaction) => {
        const time = now();
        await transaction
          .updateTable("operations")
          .set({ outcome: "abandoned", endedAt: time })
          .where("deploymentId", "=", operation.deploymentId)
          .where("outcome", "=", "running")
          .execute();
        const { deploymentId, snapshotId } = operation;
        await patchDeployment(transaction, deploymentId, patch, time);
        if (snapshotId !== null) await requireSnapshot(transaction, deploymentId, snapshotId);
        const row = await transaction
          .insertInto("operations")
          .values({
            id: newId(),
            deploymentId,
            kind: operation.kind,
            userName: operation.userName,
            snapshotId,
            revision: operation.revision,
            previousSnapshotId: operation.previousSnapshotId,
            overrides: toJsonColumn(operation.overrides),
            outcome: "running",
            error: null,
            startedAt: time,
            endedAt: null,
          })
          .returningAll()
          .executeTakeFirstOrThrow();
        return toOperation(row);
      }),
    end: (id, { outcome, error }, patch, lease) =>
      guarded(lease, async (transaction) => {
        const time = now();
        const row = await transaction
          .updateTable("operations")
          .set({ outcome, error: toNullableJsonColumn(error), endedAt: time })
          .where("id", "=", id)
          .where("outcome", "=", "running")
          .returningAll()
          .executeTakeFirst();
        if (row === undefined) throw operationEnded(id);
        await patchDeployment(transaction, row.deploymentId, patch, time);
        return toOperation(row);
      }),
    list: (deploymentId, query = {}) =>
      read(async (db) => {
        const limit = limitOf(query);
        const position = positionOf("operations", query.cursor);
        let select = db
          .selectFrom("operations")
          .selectAll()
          .where("deploymentId", "=", deploymentId)
          .orderBy("id", "desc")
          .limit(limit + 1);
        if (position !== null) select = select.where("id", "<", position.id);
        const rows = await select.execute();
        return pageOf(
          "operations",
          rows,
          limit,
          ({ startedAt, id }) => ({ time: startedAt, id }),
          toOperation,
        );
      }),
  };
}

function toOperation(row: Selectable<Database["operations"]>): OperationRecord {
  return {
    ...row,
    overrides: fromJsonColumn(row.overrides),
    error: fromNullableJsonColumn(row.error),
  };
}

function operationEnded(id: string): MillraceError {
  return new MillraceError({
    class: "conflict",
    code: "OPERATION_ENDED",
    message: `The operation ${id} does not exist or ended before.`,
    action: "See the history of the deployment for what came after it.",
    details: { operationId: id },
  });
}
