import type { DeploymentRecord, Plan } from "@millrace/core";
import type { DeploymentPlan } from "../client.ts";
import { Bounds, unreachableCause } from "./bounds.ts";
import type { Desired, DriverDependencies, ProvisionInput } from "./dependencies.ts";
import { pickedUp } from "./history.ts";
import { Platform } from "./platform.ts";
import { mustPass } from "./rules.ts";

/** What provision would do now. It reads only, so it needs no lease: another operation may be under way. */
export async function plan(
  dependencies: DriverDependencies,
  { record, call, prepare, snapshotId }: Omit<ProvisionInput, "kind" | "created" | "confirm">,
): Promise<DeploymentPlan> {
  const neverLost = new AbortController().signal;
  const bounds = new Bounds(dependencies.clock, record.name, call, neverLost);
  try {
    const platform = new Platform(dependencies, record, call, bounds);
    const desired = await prepare(await platform.target(), record, platform);
    const made = await makePlan(platform, desired);
    return await describePlan(dependencies, record, desired, made, snapshotId);
  } catch (thrown) {
    const error = bounds.explain(thrown);
    // Nothing was begun that could go on: only that nobody answered counts.
    throw unreachableCause(error) ?? error;
  } finally {
    bounds.close();
  }
}

export async function makePlan(platform: Platform, { request }: Desired): Promise<Plan> {
  const { flavor } = await platform.deployer();
  mustPass(flavor.check?.(request) ?? [], flavor.name);
  return platform.ask(({ deployer }) => deployer.plan(request, platform.context()));
}

export async function describePlan(
  { store }: Pick<DriverDependencies, "store">,
  record: DeploymentRecord,
  desired: Desired,
  made: Plan,
  snapshotId: string,
): Promise<DeploymentPlan> {
  const { revision } = desired.request;
  return {
    ...made,
    deployment: record.name,
    exists: record.status !== "ABSENT" || record.snapshotId !== null,
    snapshot: { from: record.snapshotId, to: snapshotId },
    picksUp: await pickedUp(store, record, { revision, snapshotId }),
    notes: desired.notes,
    settings: desired.settings,
  };
}
