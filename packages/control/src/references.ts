import { type DeploymentRecord, messageOf } from "@millrace/core";
import type { DeployerEntry, StackEntry } from "./client.ts";
import { deployerSettings, servingSettings } from "./settings/layers.ts";
import { activeStack, listDeployers, listStacks, servingLayer, settingsLayer } from "./stacks.ts";
import type { Workspace } from "./workspace.ts";

/** What the configuration names and does not have or gets wrong, and what deployments were made with and it has no more. */
export async function brokenReferences(workspace: Workspace): Promise<string[]> {
  const deployers = await listDeployers(workspace);
  const stacks = await listStacks(workspace);
  return [
    ...(await ofTheConfiguration(workspace, deployers, stacks)),
    ...(await ofDeployments(workspace, deployers, stacks)),
  ];
}

async function ofTheConfiguration(
  workspace: Workspace,
  deployers: readonly DeployerEntry[],
  stacks: readonly StackEntry[],
): Promise<string[]> {
  const { value: active } = await activeStack(workspace);
  const known = (name: string) => deployers.some((deployer) => deployer.name === name);
  const found = [
    ...(stacks.some(({ name }) => name === active)
      ? []
      : [`The active stack is "${active}", which does not exist.`]),
    ...stacks
      .filter(({ deployer }) => !known(deployer))
      .map(
        ({ name, deployer }) =>
          `The stack "${name}" names the deployer "${deployer}", which does not exist.`,
      ),
  ];
  for (const deployer of deployers) {
    const fault = await faultOf(async () => {
      const flavor = await workspace.plugins.flavor(deployer.flavor);
      deployerSettings(flavor, [settingsLayer(deployer)]);
      servingSettings([servingLayer(deployer)]);
    });
    if (fault !== null) found.push(`The deployer "${deployer.name}" cannot be used: ${fault}`);
  }
  return found;
}

async function ofDeployments(
  workspace: Workspace,
  deployers: readonly DeployerEntry[],
  stacks: readonly StackEntry[],
): Promise<string[]> {
  const { store, project, plugins } = workspace;
  const found: string[] = [];
  let cursor: string | null = null;
  do {
    const page = await store.deployments.list(project.id, {
      limit: 1000,
      ...(cursor === null ? {} : { cursor }),
    });
    for (const record of page.items) {
      const flavor = await faultOf(() => plugins.flavor(record.flavor));
      found.push(
        ...staleReferences(record, deployers, stacks),
        ...(flavor === null ? [] : [`Deployment "${record.name}" cannot be reached: ${flavor}`]),
      );
    }
    cursor = page.cursor;
  } while (cursor !== null);
  return found;
}

async function faultOf(check: () => Promise<unknown>): Promise<string | null> {
  try {
    await check();
    return null;
  } catch (error) {
    return messageOf(error);
  }
}

/** What a deployment was made with and the configuration has no more. */
export function staleReferences(
  record: Pick<DeploymentRecord, "name" | "stack" | "deployer" | "flavor">,
  deployers: readonly DeployerEntry[],
  stacks: readonly StackEntry[],
): string[] {
  const madeWith = `Deployment "${record.name}" was made with`;
  const kept = "It is managed with the settings that were kept of it.";
  const deployer = deployers.find(({ name }) => name === record.deployer);
  const gone = [
    ...(stacks.some(({ name }) => name === record.stack) ? [] : [`the stack "${record.stack}"`]),
    ...(deployer === undefined ? [`the deployer "${record.deployer}"`] : []),
  ];
  return [
    ...(gone.length === 0
      ? []
      : [
          `${madeWith} ${gone.join(" and ")}, which ${gone.length === 1 ? "does" : "do"} not exist any more.${deployer === undefined ? ` ${kept}` : ""}`,
        ]),
    ...(deployer !== undefined && deployer.flavor !== record.flavor
      ? [
          `${madeWith} the deployer "${record.deployer}" of flavor "${record.flavor}", which is of flavor "${deployer.flavor}" now. ${kept}`,
        ]
      : []),
  ];
}
