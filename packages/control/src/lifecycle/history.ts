import {
  type DeploymentRecord,
  MillraceError,
  type OperationKind,
  type OperationRecord,
  withoutSecretSettings,
} from "@millrace/core";
import type { Store } from "@millrace/store";
import type { OperationEntry } from "../client.ts";
import { holderOf } from "./lease.ts";
import type { Wanted } from "./session.ts";
import { type Revision, sameRevision } from "./verdict.ts";

/** The operations of a deployment, newest first. */
export async function* operationsOf(
  { operations }: Pick<Store, "operations">,
  deploymentId: string,
): AsyncGenerator<OperationRecord> {
  let cursor: string | null = null;
  do {
    const page = await operations.list(deploymentId, cursor === null ? {} : { cursor });
    yield* page.items;
    cursor = page.cursor;
  } while (cursor !== null);
}

/**
 * An operation to be shown: without the texts of overrides that carry a secret by their name, and as interrupted where it has
 * lost its process. Takes no lease: another operation may be under way.
 */
export async function asItStands(
  store: Pick<Store, "operations" | "leases">,
  operation: OperationRecord,
): Promise<OperationEntry> {
  const entry = await withOutcomeOfNow(store, operation);
  return { ...entry, overrides: withoutSecretSettings(entry.overrides) };
}

async function withOutcomeOfNow(
  store: Pick<Store, "operations" | "leases">,
  operation: OperationRecord,
): Promise<OperationEntry> {
  if (operation.outcome !== "running") return operation;
  const { id, deploymentId, startedAt } = operation;
  const holder = await holderOf(store, deploymentId);
  // Who took the lease later did not begin this one, and has yet to find it.
  if (holder !== null && holder.since <= startedAt) return operation;
  // It may have come to its end before the lease was looked at.
  for await (const now of operationsOf(store, deploymentId)) {
    if (now.id === id) return now.outcome === "running" ? { ...now, outcome: "interrupted" } : now;
  }
  return operation;
}

function bringsIntoService(kind: OperationKind): boolean {
  return kind === "provision" || kind === "rollback";
}

/** What the last operation left to be picked up. */
export interface Unfinished {
  /** The newest operation is recorded as running, and its process is dead. */
  readonly crashed: boolean;
  /** What the newest provision was to bring into service, if it did not come to its end. */
  readonly wanted: Wanted | null;
}

export async function unfinished(
  store: Pick<Store, "operations">,
  deploymentId: string,
): Promise<Unfinished> {
  let crashed = false;
  for await (const operation of operationsOf(store, deploymentId)) {
    crashed ||= operation.outcome === "running";
    // A refresh changes nothing on the platform: what came before it counts.
    if (operation.kind !== "refresh") return { crashed, wanted: wantedBy(operation) };
  }
  return { crashed, wanted: null };
}

/** The operation that bringing a revision into service goes on with, if there is one. */
export async function pickedUp(
  store: Pick<Store, "operations" | "leases">,
  { id, status, revision, snapshotId }: DeploymentRecord,
  wanted: Revision,
): Promise<OperationEntry | null> {
  const serves = status === "RUNNING" && revision === wanted.revision;
  if (serves && snapshotId === wanted.snapshotId) return null;
  for await (const operation of operationsOf(store, id)) {
    if (operation.kind === "refresh") continue;
    if (!sameRevision(wantedBy(operation), wanted)) return null;
    const last = await asItStands(store, operation);
    return ENDED.has(last.outcome) ? null : last;
  }
  return null;
}

/** Outcomes that leave nothing to go on with, or nobody to go on but the process at work. */
const ENDED: ReadonlySet<OperationEntry["outcome"]> = new Set(["running", "succeeded", "failed"]);

function wantedBy(operation: OperationRecord): Wanted | null {
  const { kind, outcome, revision, snapshotId, overrides } = operation;
  if (
    !bringsIntoService(kind) ||
    outcome === "succeeded" ||
    revision === null ||
    snapshotId === null
  )
    return null;
  const { authKeyHash } = overrides;
  return {
    revision,
    snapshotId,
    authKeyHash: typeof authKeyHash === "string" ? authKeyHash : null,
  };
}

/** The snapshot that served before the one that serves now; null when there is none. */
export async function findPreviousSnapshot(
  store: Pick<Store, "operations">,
  record: DeploymentRecord,
): Promise<string | null> {
  for await (const { kind, outcome, snapshotId, previousSnapshotId } of operationsOf(
    store,
    record.id,
  )) {
    if (!bringsIntoService(kind)) continue;
    // A snapshot that a refresh found serving has no operation that succeeded; the next one says that it served.
    const served = [outcome === "succeeded" ? snapshotId : null, previousSnapshotId];
    const other = served.find((id) => id !== null && id !== record.snapshotId);
    if (other !== undefined && other !== null) return other;
  }
  return null;
}

/** @throws MillraceError `ROLLBACK_NOTHING` */
export async function previousSnapshot(
  store: Pick<Store, "operations">,
  record: DeploymentRecord,
): Promise<string> {
  const found = await findPreviousSnapshot(store, record);
  if (found !== null) return found;
  throw new MillraceError({
    class: "conflict",
    code: "ROLLBACK_NOTHING",
    message: `No other snapshot has served in deployment "${record.name}".`,
    action: "Name one with --to; `npx millrace snapshot list` shows them.",
  });
}

/**
 * The newest operation that brought a snapshot into service here; else the newest one that did not fail at it, since it
 * may have been picked up. Of the snapshot that serves the record tells which one it was, by its revision.
 */
export async function lastProvision(
  store: Pick<Store, "operations">,
  record: DeploymentRecord,
  snapshotId: string,
): Promise<OperationRecord | null> {
  const recorded = record.snapshotId === snapshotId ? record.revision : null;
  let pickedUp: OperationRecord | null = null;
  for await (const operation of operationsOf(store, record.id)) {
    const { kind, outcome, revision } = operation;
    if (!bringsIntoService(kind) || operation.snapshotId !== snapshotId) continue;
    if (recorded === null ? outcome === "succeeded" : revision === recorded) return operation;
    if (outcome !== "failed") pickedUp ??= operation;
  }
  return pickedUp;
}
