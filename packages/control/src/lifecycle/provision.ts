import { MillraceError, type Observation, sentence } from "@millrace/core";
import type { DeploymentPatch } from "@millrace/store";
import type { DeploymentPlan, DeployResult } from "../client.ts";
import { unreachableCause } from "./bounds.ts";
import type { Desired, ProvisionInput } from "./dependencies.ts";
import { withSnapshotClaimed } from "./lease.ts";
import { describePlan, makePlan } from "./plan.ts";
import { READINGS } from "./platform.ts";
import { mustBeFree } from "./rules.ts";
import type { Session, Wanted } from "./session.ts";
import {
  type Finding,
  judgeProvision,
  type Revision,
  readSighting,
  type Sighting,
  sameRevision,
} from "./verdict.ts";

/** Brings a revision into service. Nothing is done, and recorded, when it serves already. */
export async function provision(session: Session, input: ProvisionInput): Promise<DeployResult> {
  let begun = false;
  try {
    return await withSnapshotClaimed(session.dependencies, session.record, input.snapshotId, () => {
      begun = true;
      return provisionClaimed(session, input);
    });
  } catch (error) {
    if (!begun) await leaveAsItWas(session, input, session.bounds.explain(error));
    throw error;
  }
}

async function provisionClaimed(session: Session, input: ProvisionInput): Promise<DeployResult> {
  let prepared: Prepared;
  try {
    const { store } = session.dependencies;
    await mustBeFree(store, session.record.projectId, input.snapshotId, session.record);
    prepared = await prepare(session, input);
    if (!prepared.serves) await askFirst(session, prepared.plan, input);
    await prepared.desired.keepAuthKey?.();
  } catch (thrown) {
    const error = session.bounds.explain(thrown);
    await leaveAsItWas(session, input, error);
    throw error;
  }
  const { desired, plan, wanted, serves } = prepared;
  if (serves) return { deployment: session.record, operation: null, plan };
  const operation = await session.operate({
    begin: {
      kind: input.kind,
      snapshotId: wanted.snapshotId,
      revision: wanted.revision,
      previousSnapshotId: session.record.snapshotId,
      // Whoever picks the operation up has to know which key the service then asks for.
      overrides: { ...desired.overrides, authKeyHash: desired.authKeyHash },
    },
    wanted,
    run: () => bringIntoService(session, desired, wanted),
    describe: (error, finding) => deployFailed(session, error, finding, wanted),
  });
  return { deployment: session.record, operation, plan };
}

interface Prepared {
  readonly desired: Desired;
  readonly plan: DeploymentPlan;
  readonly wanted: Wanted;
  /** It runs, is healthy, and serves this already. */
  readonly serves: boolean;
}

async function prepare(session: Session, input: ProvisionInput): Promise<Prepared> {
  const { platform } = session;
  platform.progress("Comparing with what is there");
  const desired = await input.prepare(await platform.target(), session.record, platform);
  const plan = await describePlan(
    session.dependencies,
    session.record,
    desired,
    await makePlan(platform, desired),
    input.snapshotId,
  );
  const { revision } = desired.request;
  const wanted = { revision, snapshotId: input.snapshotId, authKeyHash: desired.authKeyHash };
  const serves = plan.action === "no-op" && (await servesAlready(session, wanted));
  return { desired, plan, wanted, serves };
}

async function servesAlready(session: Session, wanted: Revision): Promise<boolean> {
  const { record, recorded, platform } = session;
  if (record.status !== "RUNNING" || !sameRevision(recorded, wanted)) return false;
  const { finding } = await platform.lookUntilSure((sighting) =>
    readSighting(sighting, { recorded, wanted: null }),
  );
  return finding.event === "observed.serving";
}

async function askFirst(
  session: Session,
  plan: DeploymentPlan,
  input: ProvisionInput,
): Promise<void> {
  const { confirm } = input;
  if (confirm === undefined) return;
  const { bounds, record } = session;
  if (!(await bounds.unhurried(async () => confirm(plan)))) throw declined(record.name);
  bounds.signal.throwIfAborted();
}

/** Nothing was changed on the platform: a record that was made for this goes again, another one says what is known. */
async function leaveAsItWas(
  session: Session,
  { created }: ProvisionInput,
  error: MillraceError,
): Promise<void> {
  if (error.code === "LEASE_LOST") return;
  if (created && (await isUntouched(session))) {
    await session.dependencies.store.deployments.delete(session.record.id, session.lease);
    return;
  }
  const unreachable = unreachableCause(error);
  if (unreachable !== null)
    await session.update(session.statusPatch("observed.unreachable", unreachable.message));
}

/** Another process may have used the record that this one made. */
async function isUntouched({ record, platform, dependencies }: Session): Promise<boolean> {
  if (record.status !== "ABSENT" || (await platform.inventory()).length > 0) return false;
  return (await dependencies.store.operations.list(record.id, { limit: 1 })).items.length === 0;
}

async function bringIntoService(
  session: Session,
  { request, deliver, deployerSettings }: Desired,
  wanted: Wanted,
): Promise<DeploymentPatch> {
  const { platform, dependencies } = session;
  if (deliver !== undefined) await platform.ask(() => deliver(session.writeContext()));
  platform.progress("Asking the platform");
  const first = await platform.ask(async ({ deployer }) =>
    // A call before this one may have written to the journal.
    deployer.provision({ ...request, deployment: await platform.target() }, session.writeContext()),
  );
  const { observation } = await untilServing(session, first, wanted);
  await mustBeFree(dependencies.store, session.record.projectId, wanted.snapshotId, session.record);
  const finding: Finding = { event: "observed.serving", serving: wanted, reason: null };
  return {
    ...(await session.findingPatch(finding, observation, wanted)),
    userId: dependencies.user.id,
    deployerSettings,
  };
}

/** Polls until the wanted revision serves. Throws when the roll-out failed. */
async function untilServing(
  session: Session,
  first: Observation,
  wanted: Revision,
): Promise<Sighting> {
  const { platform, recorded } = session;
  let failures = 0;
  return platform.poll(
    await platform.withHealth(first),
    () => platform.look(),
    async (sighting) => {
      const verdict = judgeProvision(
        sighting,
        wanted,
        recorded,
        sighting.observation.state === "absent" && (await platform.inventory()).length === 0,
      );
      failures = verdict.step === "failed" ? failures + 1 : 0;
      if (verdict.step === "failed" && failures >= READINGS) throw ofTheRollout(verdict.error);
      if (verdict.step === "wait") platform.progress(verdict.reason);
      return verdict.step === "succeeded" ? sighting : null;
    },
  );
}

/** Whatever class a deployer gave to what it observed: the pipeline's code failed, or the platform; never this command. */
function ofTheRollout(error: MillraceError): MillraceError {
  return describesRollout(error)
    ? error
    : new MillraceError({ ...error, message: error.message, class: "platform", cause: error });
}

function describesRollout(error: MillraceError): boolean {
  return error.class === "platform" || error.class === "pipeline";
}

/** Says both what failed and what serves now. */
function deployFailed(
  { record, recorded }: Session,
  error: MillraceError,
  finding: Finding | null,
  wanted: Revision,
): MillraceError {
  if (!describesRollout(error))
    return recorded === null || finding === null
      ? error
      : new MillraceError({
          ...error,
          message: `${sentence(error.message)} ${whatServes(finding, wanted)}`,
          cause: error,
        });
  const serving = finding?.event === "observed.serving" ? finding.serving : null;
  return new MillraceError({
    class: error.class,
    code: "DEPLOY_FAILED",
    message: `Deployment "${record.name}" could not be ${recorded === null ? "deployed" : "updated"}: ${sentence(error.message)} ${whatServes(finding, wanted)}`,
    action: adviceAfter(error, record.name, finding),
    retryable: error.retryable,
    details: {
      ...error.details,
      failure: error.code,
      stillServes: serving !== null && sameRevision(recorded, serving),
    },
    cause: error,
  });
}

/** What to do is the deployer's to say, where it says something. Where nothing is, nothing was written. */
function adviceAfter({ action }: MillraceError, name: string, finding: Finding | null): string {
  const logs =
    finding?.event === "observed.absent"
      ? []
      : [`\`npx millrace deployment logs ${name}\` shows what the service wrote.`];
  return action === undefined
    ? [...logs, "Correct the cause and deploy again."].join(" ")
    : [sentence(action), ...logs].join(" ");
}

function whatServes(finding: Finding | null, wanted: Revision): string {
  if (finding === null) return "What serves now is not known.";
  switch (finding.event) {
    case "observed.serving":
      return sameRevision(wanted, finding.serving)
        ? "All the same, it serves now."
        : "What served before still serves.";
    case "observed.drifted":
    case "observed.progressing":
      return finding.reason ?? "";
    default:
      return "Nothing serves now.";
  }
}

function declined(name: string): MillraceError {
  return new MillraceError({
    class: "aborted",
    code: "DEPLOY_DECLINED",
    message: `The plan for deployment "${name}" was not confirmed; nothing was changed.`,
  });
}
