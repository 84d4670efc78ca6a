import {
  type DeployerContext,
  type DeploymentTarget,
  type FoundDeployment,
  type Journal,
  MillraceError,
} from "@millrace/core";
import type { CallOptions, Orphan } from "./client.ts";
import { systemClock } from "./lifecycle/clock.ts";
import { deployerSettings } from "./settings/layers.ts";
import { getDeployer, settingsLayer } from "./stacks.ts";
import type { Workspace } from "./workspace.ts";

/** How long the removal of one may take, in milliseconds. */
const REMOVAL_MS = 120_000;
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
  options: CallOptions,
): Promise<readonly Orphan[]> {
  const { store, project } = workspace;
  const deployer = await deployerOf(workspace, name);
  const found = (await deployer.discover?.(contextOf(name, options))) ?? [];
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
  options: CallOptions,
): Promise<Orphan> {
  const orphan = (await findOrphans(workspace, name, options)).find((one) => one.id === id);
  if (orphan === undefined) throw notFound(name, id);
  const deployer = await deployerOf(workspace, name);
  const context = contextOf(name, options);
  const target = targetOf(orphan);
  let { state } = await deployer.deprovision(target, { ...context, journal: NO_JOURNAL });
  while (state !== "absent") {
    await systemClock.sleep(POLL_MS, context.signal);
    ({ state } = await deployer.inspect(target, context));
  }
  return orphan;
}

async function deployerOf(workspace: Workspace, name: string) {
  const entry = await getDeployer(workspace, name);
  const flavor = await workspace.plugins.flavor(entry.flavor);
  const { value: settings } = deployerSettings(flavor, [settingsLayer(entry)]);
  return flavor.create({ name, settings, stateDirectory: workspace.loaded.home });
}

function contextOf(name: string, { signal, onProgress }: CallOptions) {
  const limit = AbortSignal.timeout(REMOVAL_MS);
  return {
    signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
    clock: systemClock,
    progress: (message) => onProgress?.({ at: systemClock.now(), deployment: name, message }),
  } satisfies Omit<DeployerContext, "journal">;
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
