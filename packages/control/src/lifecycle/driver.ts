import {
  type DeploymentRecord,
  type InventoryRecord,
  isMillraceError,
  MillraceError,
  type OperationRecord,
  type Plan,
} from "@millrace/core";
import type { DeleteResult, DeploymentPlan, DeployResult } from "../client.ts";
import type { Call, Desired, DriverDependencies, ProvisionInput } from "./dependencies.ts";
import { withLease } from "./lease.ts";
import { type Ending, Session } from "./operation.ts";
import { changesNothing, mustPass } from "./rules.ts";
import {
  type Finding,
  judgeProvision,
  type Revision,
  readSighting,
  type Sighting,
} from "./verdict.ts";

const CONFIRM_GONE = 3;

/** Takes deployments through their lifecycle, by any deployer. */
export interface Driver {
  /** What provision would do now. Changes nothing. */
  plan(input: Omit<ProvisionInput, "created" | "confirm">): Promise<DeploymentPlan>;
  provision(input: ProvisionInput): Promise<DeployResult>;
  refresh(record: DeploymentRecord, call: Call): Promise<DeploymentRecord>;
  deprovision(record: DeploymentRecord, call: Call): Promise<DeploymentRecord>;
  delete(record: DeploymentRecord, force: boolean, call: Call): Promise<DeleteResult>;
}

export function createDriver(dependencies: DriverDependencies): Driver {
  const session = async <T>(
    record: DeploymentRecord,
    purpose: string,
    call: Call,
    work: (session: Session) => Promise<T>,
  ): Promise<T> => {
    const loaded = await dependencies.deployerOf(record);
    return withLease(dependencies, record, purpose, async (held) => {
      // The record may have changed while the lease was somebody else's.
      const current = await dependencies.store.deployments.find(record.projectId, record.id);
      if (current === null) throw deploymentGone(record.name);
      const one = new Session(dependencies, loaded, held, call, current);
      try {
        return await work(one);
      } finally {
        one.close();
      }
    });
  };
  return {
    plan: (input) => plan(dependencies, input),
    provision: (input) =>
      session(input.record, "deploy", input.call, (one) => provision(one, input)),
    refresh: (record, call) => session(record, "refresh", call, refresh),
    deprovision: (record, call) =>
      session(record, "deprovision", call, async (one) => {
        await deprovision(one);
        return one.record;
      }),
    async delete(record, force, call) {
      try {
        return await session(record, "delete", call, (one) => remove(one, force));
      } catch (error) {
        if (!force || !(await isUnloadable(dependencies, record))) throw error;
        return forget(dependencies, record);
      }
    },
  };
}

async function plan(
  dependencies: DriverDependencies,
  input: Omit<ProvisionInput, "created" | "confirm">,
): Promise<DeploymentPlan> {
  const { record, call } = input;
  const loaded = await dependencies.deployerOf(record);
  // A plan reads only, so it needs no lease: another operation may be under way.
  const neverLost = new AbortController();
  const lease = {
    name: "",
    holder: { host: "", pid: 0, processStart: "", purpose: "plan" },
    token: -1,
    expiresAt: 0,
  };
  const one = new Session(dependencies, loaded, { lease, signal: neverLost.signal }, call, record);
  try {
    const desired = await input.prepare(await one.target(), one.record);
    return describePlan(one, desired, await makePlan(one, desired), input.snapshotId);
  } finally {
    one.close();
  }
}

async function makePlan(one: Session, { request }: Desired): Promise<Plan> {
  const { flavor, deployer } = one.loaded;
  mustPass(flavor.check?.(request) ?? [], flavor.name);
  return one.transient(() => deployer.plan(request, one.readContext()));
}

function describePlan(
  one: Session,
  desired: Desired,
  made: Plan,
  snapshotId: string,
): DeploymentPlan {
  return {
    ...made,
    deployment: one.record.name,
    exists: one.record.status !== "ABSENT" || one.record.snapshotId !== null,
    snapshot: { from: one.record.snapshotId, to: snapshotId },
    settings: desired.settings,
  };
}

async function provision(one: Session, input: ProvisionInput): Promise<DeployResult> {
  const forget = async (): Promise<void> => {
    if (input.created) await one.dependencies.store.deployments.delete(one.record.id, one.lease);
  };
  let desired: Desired;
  let planned: DeploymentPlan;
  try {
    one.progress("Comparing with what is there");
    desired = await input.prepare(await one.target(), one.record);
    planned = describePlan(one, desired, await makePlan(one, desired), input.snapshotId);
  } catch (error) {
    await forget();
    if (!input.created && isMillraceError(error) && error.class === "unreachable") {
      await one.update(one.statusPatch("observed.unreachable", error.message));
    }
    throw error;
  }
  const wanted: Revision = { revision: desired.request.revision, snapshotId: input.snapshotId };
  if (changesNothing(planned) && (await servesAlready(one, wanted))) {
    return { deployment: one.record, operation: null, plan: planned };
  }
  if (!(await (input.confirm?.(planned) ?? true))) {
    await forget();
    throw declined(one.record.name);
  }
  const operation = await one.operate(
    {
      kind: "provision",
      snapshotId: wanted.snapshotId,
      revision: wanted.revision,
      previousSnapshotId: one.record.snapshotId,
      overrides: { ...desired.overrides, authKeyHash: desired.authKeyHash },
    },
    () => bringIntoService(one, desired, wanted),
    (sighting) => readSighting(sighting, expectedOf(recordedOf(one.record))),
  );
  return { deployment: one.record, operation, plan: planned };
}

async function servesAlready(one: Session, wanted: Revision): Promise<boolean> {
  const { status, revision, snapshotId } = one.record;
  if (status !== "RUNNING" || revision !== wanted.revision || snapshotId !== wanted.snapshotId)
    return false;
  return judgeProvision(await one.look(), wanted, wanted).step === "succeeded";
}

async function bringIntoService(one: Session, desired: Desired, wanted: Revision): Promise<Ending> {
  const recorded = recordedOf(one.record);
  one.progress("Asking the platform");
  const first = await one.transient(() =>
    one.loaded.deployer.provision(desired.request, one.writeContext()),
  );
  let verdict = judgeProvision({ observation: first, health: null }, wanted, recorded);
  const sighting = await one.poll(first, (seen) => {
    verdict = judgeProvision(seen, wanted, recorded);
    if (verdict.step === "wait") one.progress(verdict.reason);
    return verdict.step !== "wait";
  });
  if (verdict.step === "failed") return failedEnding(one, verdict.error, verdict.finding, sighting);
  const { observation } = sighting;
  const finding: Finding = { event: "observed.serving", serving: wanted, reason: null };
  return {
    outcome: "succeeded",
    error: null,
    patch: {
      ...one.findingPatch(finding, observation),
      ...wanted,
      authKeyHash: desired.authKeyHash,
      userId: one.dependencies.user.id,
    },
  };
}

function failedEnding(
  one: Session,
  cause: MillraceError | null,
  finding: Finding,
  { observation }: Sighting,
): Ending {
  const stillServes = finding.event === "observed.serving";
  const what = cause?.message ?? "The platform gave no reason.";
  const error = new MillraceError({
    class: "platform",
    code: "DEPLOY_FAILED",
    message: `Deployment "${one.record.name}" could not be brought to the new snapshot: ${what} ${stillServes ? "The snapshot before it still serves." : "Nothing serves now."}`,
    action: `${cause?.action ?? `Look at \`millrace deployment logs ${one.record.name}\``} Then deploy again.`,
    details: { ...cause?.details, stillServes },
    cause: cause ?? undefined,
  });
  return { outcome: "failed", error, patch: one.findingPatch(finding, observation) };
}

function recordedOf({ revision, snapshotId }: DeploymentRecord): Revision | null {
  return revision === null || snapshotId === null ? null : { revision, snapshotId };
}

function expectedOf(...revisions: readonly (Revision | null)[]): Revision[] {
  return revisions.filter((one) => one !== null);
}

interface Unfinished extends Revision {
  readonly authKeyHash: string | null;
}

/** The revision that an operation wanted which did not come to its end, if the newest operation is such a one. */
async function unfinishedProvision(one: Session): Promise<Unfinished | null> {
  const { items } = await one.dependencies.store.operations.list(one.record.id, { limit: 10 });
  const newest = items.find(({ kind }) => kind !== "refresh");
  const open: readonly OperationRecord["outcome"][] = [
    "running",
    "timed_out",
    "aborted",
    "abandoned",
    "failed",
  ];
  if (newest === undefined || newest.kind !== "provision" || !open.includes(newest.outcome))
    return null;
  const { revision, snapshotId, overrides } = newest;
  const { authKeyHash } = overrides;
  return revision === null || snapshotId === null
    ? null
    : { revision, snapshotId, authKeyHash: typeof authKeyHash === "string" ? authKeyHash : null };
}

async function refresh(one: Session): Promise<DeploymentRecord> {
  const recorded = recordedOf(one.record);
  const unfinished = await unfinishedProvision(one);
  const judge = (sighting: Sighting): Finding =>
    readSighting(sighting, expectedOf(recorded, unfinished));
  const observe = async (): Promise<Ending> => {
    const sighting = await one.lookTwice();
    const finding = judge(sighting);
    await markMissing(one, sighting);
    const moved = finding.event === "observed.serving" ? movedTo(finding.serving, unfinished) : {};
    return {
      outcome: "succeeded",
      error: null,
      patch: { ...one.findingPatch(finding, sighting.observation), ...moved },
    };
  };
  if (one.record.status === "PENDING") {
    // Something did not come to its end: what is found now ends it, so it is an operation of its own.
    await one.operate(
      {
        kind: "refresh",
        snapshotId: null,
        revision: null,
        previousSnapshotId: null,
        overrides: {},
      },
      observe,
      judge,
    );
    return one.record;
  }
  try {
    const { patch } = await observe();
    return await one.update(patch);
  } catch (error) {
    if (isMillraceError(error) && error.class === "unreachable") {
      await one.update(one.statusPatch("observed.unreachable", error.message));
    }
    throw error;
  }
}

/** What the record takes over when a revision is found serving whose operation did not come to its end. */
function movedTo(serving: Revision | null, unfinished: Unfinished | null): Partial<Unfinished> {
  return serving !== null && serving.revision === unfinished?.revision ? unfinished : {};
}

/** Brings the inventory in line with what the platform shows. Nothing is forgotten: what is not there is marked so. */
async function markMissing(one: Session, { observation }: Sighting): Promise<void> {
  const { inventory } = one.dependencies.store;
  const shown = new Map(observation.resources.map((resource) => [keyOf(resource), resource]));
  for (const entry of await one.inventory()) {
    const seen = shown.get(keyOf(entry));
    const state =
      seen !== undefined ? "present" : entry.state === "present" ? "missing" : entry.state;
    if (state !== entry.state)
      await inventory.put(
        one.record.id,
        { ...entry, state, platformId: seen?.platformId ?? entry.platformId },
        one.lease,
      );
    shown.delete(keyOf(entry));
  }
  for (const { kind, name, platformId } of shown.values()) {
    await inventory.put(one.record.id, { kind, name, state: "present", platformId }, one.lease);
  }
}

function keyOf({ kind, name }: { readonly kind: string; readonly name: string }): string {
  return `${kind}\u0000${name}`;
}

async function deprovision(one: Session): Promise<void> {
  if (one.record.status === "ABSENT" && (await one.inventory()).length === 0) return;
  await one.operate(
    {
      kind: "deprovision",
      snapshotId: null,
      revision: null,
      previousSnapshotId: one.record.snapshotId,
      overrides: {},
    },
    () => takeOutOfService(one),
    (sighting) => readSighting(sighting, expectedOf(recordedOf(one.record))),
  );
}

async function takeOutOfService(one: Session): Promise<Ending> {
  one.progress("Removing it from the platform");
  const first = await one.transient(async () =>
    one.loaded.deployer.deprovision(await one.target(), one.writeContext()),
  );
  let absentReadings = 0;
  const { observation } = await one.poll(first, (seen) => {
    absentReadings = seen.observation.state === "absent" ? absentReadings + 1 : 0;
    return absentReadings >= CONFIRM_GONE;
  });
  for (const entry of await one.inventory()) {
    await one.dependencies.store.inventory.remove(one.record.id, entry, one.lease);
  }
  const finding: Finding = { event: "observed.absent", serving: null, reason: null };
  return { outcome: "succeeded", error: null, patch: one.findingPatch(finding, observation) };
}

async function remove(one: Session, force: boolean): Promise<DeleteResult> {
  let leftBehind: readonly InventoryRecord[] = [];
  try {
    await deprovision(one);
  } catch (error) {
    if (
      !force ||
      (isMillraceError(error) && (error.code === "LEASE_LOST" || error.class === "aborted"))
    )
      throw error;
    leftBehind = await one.inventory();
    one.progress(
      "The platform did not confirm that all is gone; the record is removed all the same",
    );
  }
  await one.dependencies.store.deployments.delete(one.record.id, one.lease);
  return { leftBehind };
}

/** True when the deployer of a record cannot be made: its plugin is gone, or its settings no longer fit. */
async function isUnloadable(
  { deployerOf }: DriverDependencies,
  record: DeploymentRecord,
): Promise<boolean> {
  return deployerOf(record).then(
    () => false,
    () => true,
  );
}

/** Removes a record without asking the platform. */
async function forget(
  dependencies: DriverDependencies,
  record: DeploymentRecord,
): Promise<DeleteResult> {
  return withLease(dependencies, record, "delete", async ({ lease }) => {
    const leftBehind = await dependencies.store.inventory.list(record.id);
    await dependencies.store.deployments.delete(record.id, lease);
    return { leftBehind };
  });
}

function deploymentGone(name: string): MillraceError {
  return new MillraceError({
    class: "not_found",
    code: "DEPLOYMENT_NOT_FOUND",
    message: `Deployment "${name}" was deleted in the meantime.`,
    action: "Run `millrace deployment list` to see what there is.",
  });
}

function declined(name: string): MillraceError {
  return new MillraceError({
    class: "aborted",
    code: "DEPLOY_DECLINED",
    message: `The plan for deployment "${name}" was not confirmed; nothing was changed.`,
  });
}
