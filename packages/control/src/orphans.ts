import {
  type DeploymentTarget,
  type FoundDeployment,
  isMillraceError,
  type Journal,
  MillraceError,
  type ReadContext,
} from "@millrace/core";
import type { Orphan, OrphanOptions } from "./client.ts";
import { LONGEST_MS } from "./lifecycle/bounds.ts";
import { systemClock } from "./lifecycle/clock.ts";
import { boundedBy } from "./lifecycle/platform.ts";
import { retryTransient } from "./lifecycle/retry.ts";
import { deployerSettings } from "./settings/layers.ts";
import { getDeployer, settingsLayer } from "./stacks.ts";
import type { Workspace } from "./workspace.ts";

const LISTING_SECONDS = 60;
const REMOVAL_SECONDS = 120;
const POLL_MS = 500;

/** There is no record whose inventory could be kept. */
const NO_JOURNAL: Journal = {
  intend: async () => undefined,
  present: async () => undefined,
  gone: async () => undefined,
};

/** What a deployer's platform has of deployments of this project that this store does not know. */
export async function findOrphans(
  workspace: Workspace,
  name: string,
  options: OrphanOptions,
): Promise<readonly Orphan[]> {
  const { store, project } = workspace;
  const deployer = await deployerOf(workspace, name);
  const found = await inTime(workspace, name, LISTING_SECONDS, options, ({ ask }) =>
    ask(async (context) => (await deployer.discover?.(context)) ?? []),
  );
  const known = await Promise.all(
    found.map(async ({ id }) => (await store.deployments.find(project.id, id)) !== null),
  );
  return found
    .filter((one, index) => one.project === project.name && known[index] === false)
    .map((one) => ({ ...one, deployer: name }));
}

/**
 * Removes all that a platform has of an orphan.
 * @throws MillraceError `ORPHAN_NOT_FOUND`, also for a deployment that has a record.
 */
export async function removeOrphan(
  workspace: Workspace,
  name: string,
  id: string,
  options: OrphanOptions,
): Promise<Orphan> {
  const orphan = (await findOrphans(workspace, name, options)).find((one) => one.id === id);
  if (orphan === undefined) throw notFound(name, id);
  const deployer = await deployerOf(workspace, name);
  const target = targetOf(orphan);
  await inTime(workspace, name, REMOVAL_SECONDS, options, async ({ ask, signal }) => {
    let { state } = await ask((context) =>
      deployer.deprovision(target, { ...context, journal: NO_JOURNAL }),
    );
    while (state !== "absent") {
      await systemClock.sleep(POLL_MS, signal);
      ({ state } = await ask((context) => deployer.inspect(target, context)));
    }
  });
  return orphan;
}

async function deployerOf(workspace: Workspace, name: string) {
  const entry = await getDeployer(workspace, name);
  const flavor = await workspace.plugins.flavor(entry.flavor);
  const { value: settings } = deployerSettings(flavor, [settingsLayer(entry)]);
  return flavor.create({ name, settings, stateDirectory: workspace.loaded.home });
}

interface InTime {
  readonly signal: AbortSignal;
  /** Calls the deployer, again and again while it fails in a way that waiting can mend. */
  ask<T>(call: (context: ReadContext) => Promise<T>): Promise<T>;
}

/** Work with a deadline. @throws MillraceError `ORPHANS_TIMED_OUT`, unless the platform has said what is wrong. */
async function inTime<T>(
  { timing }: Workspace,
  name: string,
  defaultSeconds: number,
  { signal: caller, onProgress, timeoutSeconds: seconds = defaultSeconds }: OrphanOptions,
  work: (parts: InTime) => Promise<T>,
): Promise<T> {
  const clock = systemClock;
  const deadline = new AbortController();
  const timer = setTimeout(
    () => deadline.abort(timedOut(name, seconds)),
    Math.min(seconds * 1000, LONGEST_MS),
  );
  const signal =
    caller === undefined ? deadline.signal : AbortSignal.any([caller, deadline.signal]);
  let told: string | undefined;
  const progress = (message: string) => {
    if (message !== told) onProgress?.({ at: clock.now(), deployment: name, message });
    told = message;
  };
  const context = { signal, clock, progress };
  try {
    return await work({
      signal,
      ask: (call) =>
        retryTransient({ ...context, timing }, () => boundedBy(signal, () => call(context))),
    });
  } catch (error) {
    caller?.throwIfAborted();
    // A call that was cut off may fail in words of its own.
    throw signal.aborted && !isMillraceError(error) ? signal.reason : error;
  } finally {
    clearTimeout(timer);
  }
}

function timedOut(deployer: string, seconds: number): MillraceError {
  return new MillraceError({
    class: "timeout",
    code: "ORPHANS_TIMED_OUT",
    message: `The platform of the deployer "${deployer}" was not done after ${seconds} seconds.`,
    action: "See whether it answers, and run the command again. --timeout allows more time.",
    retryable: true,
  });
}

function targetOf({ id, name, project, resources }: FoundDeployment): DeploymentTarget {
  const inventory = resources.map(
    ({ kind, name: called }) =>
      ({ kind, name: called, state: "present", platformId: null }) as const,
  );
  return { id, name, project, inventory, metadata: {} };
}

function notFound(deployer: string, id: string): MillraceError {
  return new MillraceError({
    class: "not_found",
    code: "ORPHAN_NOT_FOUND",
    message: `The deployer "${deployer}" has nothing of a deployment ${id} that this store does not know.`,
    action: `Run \`npx millrace deployer orphans ${deployer}\`.`,
  });
}
