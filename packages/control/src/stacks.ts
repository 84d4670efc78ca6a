import {
  type Component,
  type DeploymentRecord,
  type JsonObject,
  MillraceError,
  type ServingSettingsInput,
  suggest,
  validName,
  withoutSecretSettings,
} from "@millrace/core";
import type { Client, ConfigEntry, DeployerEntry, StackEntry } from "./client.ts";
import { BUILT_IN } from "./config/defaults.ts";
import { deployerSettings, type Layer, servingSettings } from "./settings/layers.ts";
import type { Workspace } from "./workspace.ts";

/** What a component's record holds of its settings. */
interface StoredSettings {
  readonly settings: JsonObject;
  readonly serving: JsonObject;
}

export function storedSettings(value: JsonObject): StoredSettings {
  const part = (key: "settings" | "serving"): JsonObject => {
    const member = value[key];
    return typeof member === "object" && member !== null && !Array.isArray(member)
      ? (member as JsonObject)
      : {};
  };
  return { settings: part("settings"), serving: part("serving") };
}

/** What a deployment keeps of its deployer, for when the configuration has that no more. Keys live with the secrets. */
export function keptSettings({
  settings,
  serving: { authKey: _key, ...serving },
}: Pick<DeployerEntry, "settings" | "serving">): JsonObject {
  return { settings, serving };
}

/** Deployers by name: what the file declares hides what the store has under the same name. */
export async function listDeployers({
  loaded,
  store,
  project,
}: Workspace): Promise<DeployerEntry[]> {
  const declared = Object.entries(loaded.config.deployers ?? {}).map(
    ([name, { flavor, settings, serving }]): DeployerEntry => {
      return {
        name,
        flavor,
        settings: (settings ?? {}) as JsonObject,
        serving: (serving ?? {}) as JsonObject,
        managedBy: "file",
      };
    },
  );
  const stored = (await store.components.list(project.id, "deployer")).map(
    ({ name, flavor, settings }): DeployerEntry => {
      return { name, flavor, ...storedSettings(settings), managedBy: "store" };
    },
  );
  const builtIn: DeployerEntry = {
    name: BUILT_IN.deployer,
    flavor: BUILT_IN.flavor,
    settings: {},
    serving: {},
    managedBy: "built in",
  };
  return firstOfEachName([...declared, ...stored, builtIn]);
}

/** @throws MillraceError `DEPLOYER_NOT_FOUND` */
export async function getDeployer(workspace: Workspace, name: string): Promise<DeployerEntry> {
  const all = await listDeployers(workspace);
  return all.find((entry) => entry.name === name) ?? fail(notFound("deployer", name, all));
}

export async function listStacks(workspace: Workspace): Promise<StackEntry[]> {
  const { loaded, store, project } = workspace;
  const declared = Object.entries(loaded.config.stacks ?? {}).map(([name, { deployer }]) => ({
    name,
    deployer,
    managedBy: "file" as const,
  }));
  const stored = (await store.stacks.list(project.id)).map(({ name, deployer }) => ({
    name,
    deployer,
    managedBy: "store" as const,
  }));
  const builtIn = {
    name: BUILT_IN.stack,
    deployer: BUILT_IN.deployer,
    managedBy: "built in" as const,
  };
  const all = firstOfEachName([...declared, ...stored, builtIn]);
  const { value: active } = await activeStack(workspace);
  return all.map((entry) => ({ ...entry, active: entry.name === active }));
}

/** The stack that was set by command, else the file's, else the built-in one. */
export async function activeStack({
  loaded,
  store,
  project,
}: Workspace): Promise<ConfigEntry & { readonly value: string }> {
  const set = await store.stacks.active(project.id);
  if (set !== null) return { name: "stack", value: set, origin: "stack set" };
  const { stack } = loaded.config;
  return stack === undefined
    ? { name: "stack", value: BUILT_IN.stack, origin: "default" }
    : { name: "stack", value: stack, origin: loaded.file ?? "file" };
}

/** The named stack, or the active one. @throws MillraceError `STACK_NOT_FOUND` */
export async function getStack(workspace: Workspace, name?: string): Promise<StackEntry> {
  const all = await listStacks(workspace);
  const wanted = name ?? (await activeStack(workspace)).value;
  return all.find((entry) => entry.name === wanted) ?? fail(notFound("stack", wanted, all));
}

export function deployersOf(workspace: Workspace): Client["deployers"] {
  const { store, project, plugins } = workspace;
  return {
    flavors: () => plugins.all(),
    list: async () => (await listDeployers(workspace)).map(masked),
    async register(name, flavorName, { settings = {}, serving = {} } = {}) {
      validName("deployer", name);
      await mustBeFreeName(workspace, "deployer", name);
      const flavor = await plugins.flavor(flavorName);
      const place = `deployer "${name}"`;
      deployerSettings(flavor, [{ origin: "deployer", place, values: settings }]);
      servingSettings([{ origin: "deployer", place, values: serving }]);
      if (serving.authKey !== undefined) throw keyInRecord();
      const values = { settings, serving: serving as JsonObject };
      const component = await store.components.create({
        projectId: project.id,
        type: "deployer",
        name,
        flavor: flavorName,
        settings: values,
      });
      return entryOf(component);
    },
    async get(name) {
      const deployer = await getDeployer(workspace, name);
      const flavor = await plugins.flavor(deployer.flavor);
      const { effective } = deployerSettings(flavor, [settingsLayer(deployer)]);
      const serving = servingSettings([servingLayer(deployer)]).effective;
      return { deployer: masked(deployer), flavor, effective: [...effective, ...serving] };
    },
    async delete(name) {
      const entry = await getDeployer(workspace, name);
      mustBeStored("deployer", entry.name, entry.managedBy, workspace);
      await mustHaveNoStack(workspace, name);
      await mustNotBeInUse(workspace, name);
      await store.components.delete(project.id, "deployer", name);
    },
    orphans: async (name, options = {}) => {
      const { findOrphans } = await import("./orphans.ts");
      return findOrphans(workspace, name, options);
    },
    removeOrphan: async (name, id, options = {}) => {
      const { removeOrphan } = await import("./orphans.ts");
      return removeOrphan(workspace, name, id, options);
    },
  };
}

export function stacksOf(workspace: Workspace): Client["stacks"] {
  const { store, project } = workspace;
  return {
    list: () => listStacks(workspace),
    get: (name) => getStack(workspace, name),
    async register(name, deployer) {
      validName("stack", name);
      await mustBeFreeName(workspace, "stack", name);
      await getDeployer(workspace, deployer);
      await store.stacks.create({ projectId: project.id, name, deployer });
      return getStack(workspace, name);
    },
    async set(name) {
      await getStack(workspace, name);
      await store.stacks.setActive(project.id, name);
    },
    async delete(name) {
      const entry = await getStack(workspace, name);
      mustBeStored("stack", name, entry.managedBy, workspace);
      if (entry.active) await store.stacks.setActive(project.id, null);
      await store.stacks.delete(project.id, name);
    },
  };
}

export function settingsLayer(
  deployer: Pick<DeployerEntry, "name" | "settings">,
): Layer<JsonObject> {
  return { origin: "deployer", place: `deployer "${deployer.name}"`, values: deployer.settings };
}

export function servingLayer(
  deployer: Pick<DeployerEntry, "name" | "serving">,
): Layer<ServingSettingsInput> {
  return { origin: "deployer", place: `deployer "${deployer.name}"`, values: deployer.serving };
}

/** What is shown of a deployer: a key or a password that the file gives it is not. */
function masked(deployer: DeployerEntry): DeployerEntry {
  const { settings, serving } = deployer;
  return {
    ...deployer,
    settings: withoutSecretSettings(settings),
    serving: withoutSecretSettings(serving),
  };
}

function entryOf({ name, flavor, settings }: Component): DeployerEntry {
  return { name, flavor, ...storedSettings(settings), managedBy: "store" };
}

function firstOfEachName<T extends { readonly name: string }>(entries: readonly T[]): T[] {
  const seen = new Set<string>();
  return entries.filter(({ name }) => !seen.has(name) && seen.add(name));
}

async function mustBeFreeName(
  workspace: Workspace,
  kind: "deployer" | "stack",
  name: string,
): Promise<void> {
  const all = kind === "deployer" ? await listDeployers(workspace) : await listStacks(workspace);
  const taken = all.find((entry) => entry.name === name);
  if (taken === undefined) return;
  throw new MillraceError({
    class: "conflict",
    code: kind === "deployer" ? "COMPONENT_EXISTS" : "STACK_EXISTS",
    message: `There is a ${kind} "${name}" already${taken.managedBy === "store" ? "" : `, ${taken.managedBy === "file" ? `declared in ${workspace.loaded.file}` : "built in"}`}.`,
    action: "Choose another name.",
  });
}

function mustBeStored(
  kind: "deployer" | "stack",
  name: string,
  managedBy: DeployerEntry["managedBy"],
  { loaded }: Workspace,
): void {
  if (managedBy === "store") return;
  throw new MillraceError({
    class: "conflict",
    code: "MANAGED_BY_FILE",
    message:
      managedBy === "file"
        ? `The ${kind} "${name}" is declared in ${loaded.file}.`
        : `The ${kind} "${name}" is built in.`,
    action: managedBy === "file" ? `Edit ${loaded.file}.` : "It cannot be deleted.",
  });
}

async function mustHaveNoStack(workspace: Workspace, deployer: string): Promise<void> {
  const stacks = (await listStacks(workspace)).filter((stack) => stack.deployer === deployer);
  if (stacks.length === 0) return;
  const names = stacks.map(({ name }) => name);
  throw new MillraceError({
    class: "conflict",
    code: "DEPLOYER_IN_USE",
    message: `The deployer "${deployer}" belongs to ${names.length === 1 ? "the stack" : "the stacks"} ${names.join(", ")}.`,
    action: "Delete what names it first.",
    details: { stacks: names },
  });
}

async function mustNotBeInUse({ store, project }: Workspace, deployer: string): Promise<void> {
  const using: DeploymentRecord[] = [];
  let cursor: string | undefined;
  do {
    const page = await store.deployments.list(project.id, {
      deployer,
      limit: 1000,
      ...(cursor === undefined ? {} : { cursor }),
    });
    using.push(...page.items.filter(({ status }) => status !== "ABSENT"));
    cursor = page.cursor ?? undefined;
  } while (cursor !== undefined);
  if (using.length === 0) return;
  throw new MillraceError({
    class: "conflict",
    code: "DEPLOYER_IN_USE",
    message: `The deployer "${deployer}" has deployments that are not ABSENT: ${using.map(({ name, status }) => `${name} (${status})`).join(", ")}.`,
    action: "Deprovision or delete them first.",
    details: { deployments: using.map(({ name }) => name) },
  });
}

function notFound(
  kind: "deployer" | "stack",
  name: string,
  all: readonly { readonly name: string }[],
): MillraceError {
  const names = all.map((entry) => entry.name);
  const meant = suggest(name, names);
  return new MillraceError({
    class: "not_found",
    code: kind === "deployer" ? "DEPLOYER_NOT_FOUND" : "STACK_NOT_FOUND",
    message: `There is no ${kind} "${name}".${meant === undefined ? "" : ` Did you mean "${meant}"?`}`,
    action: `Known are ${names.join(", ")}.`,
  });
}

function keyInRecord(): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "SECRET_IN_RECORD",
    message: "A deployer's record holds no secrets, so it cannot keep an authKey.",
    action: "Use generateAuthKey, or give the key when you deploy.",
  });
}

function fail(error: MillraceError): never {
  throw error;
}
