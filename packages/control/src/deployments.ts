import {
  type DeploymentRecord,
  type DeploymentTarget,
  isMillraceError,
  type JsonObject,
  MillraceError,
  type OperationRecord,
  type ReadContext,
  suggest,
  validName,
  withoutSecretSettings,
} from "@millrace/core";
import type {
  CallOptions,
  Client,
  DeployerEntry,
  DeploymentPlan,
  DeployOptions,
  DeployResult,
  OperationEntry,
  Source,
} from "./client.ts";
import { desire, type Overrides } from "./desired.ts";
import { systemClock } from "./lifecycle/clock.ts";
import { type Call, type ProvisionInput, targetOf } from "./lifecycle/dependencies.ts";
import { createDriver, type Driver } from "./lifecycle/driver.ts";
import {
  asItStands,
  findPreviousSnapshot,
  lastProvision,
  previousSnapshot,
  unfinished,
} from "./lifecycle/history.ts";
import type { Platform } from "./lifecycle/platform.ts";
import { deployerChanged, mustBeFree, mustKeepStack, mustOwn } from "./lifecycle/rules.ts";
import { waitForStatus } from "./lifecycle/wait.ts";
import { staleReferences } from "./references.ts";
import { authKeyName, forgetAuthKeys } from "./secrets/auth-key.ts";
import { emptySpool } from "./service-environment.ts";
import { deployerSettings, merge } from "./settings/layers.ts";
import { findSnapshot, type ReadySnapshot, readySnapshot } from "./snapshots.ts";
import {
  getDeployer,
  getStack,
  keptSettings,
  listDeployers,
  listStacks,
  settingsLayer,
  storedSettings,
} from "./stacks.ts";
import type { Workspace } from "./workspace.ts";

const DEFAULT_TIMEOUT_SECONDS = 600;
/** How long a platform that does not answer may hold up who only asks it, or deletes whatever it says. */
const PROMPT_SECONDS = 60;

/** A deployment's deployer with the settings that its stack gives now, or gave when the deployment was made. */
type DeployerChoice = Pick<DeployerEntry, "name" | "flavor" | "settings" | "serving">;

/** Deployments by name, id or id prefix, and everything that is done to them. */
export class Deployments {
  readonly #workspace: Workspace;
  readonly #driver: Driver;

  constructor(workspace: Workspace) {
    this.#workspace = workspace;
    const { store, project, user, timing, secrets } = workspace;
    this.#driver = createDriver({
      store,
      project,
      user,
      timing,
      clock: systemClock,
      deployerOf: (record) => this.#load(record),
      forget: async ({ id }, progress) => {
        await forgetAuthKeys(id, secrets, null);
        await emptySpool(workspace, id, progress);
      },
    });
  }

  /** The deployer of a record, made with its component's settings. */
  async #load(record: DeploymentRecord) {
    const { plugins, loaded } = this.#workspace;
    const flavor = await plugins.flavor(record.flavor);
    const component = await this.#deployerOf(record);
    const { value: settings } = deployerSettings(flavor, [settingsLayer(component)]);
    return {
      flavor,
      deployer: await flavor.create({
        name: record.deployer,
        settings,
        stateDirectory: loaded.home,
      }),
    };
  }

  /** @throws MillraceError `DEPLOYMENT_NOT_FOUND`, `DEPLOYMENT_AMBIGUOUS` */
  async find(idOrName: string): Promise<DeploymentRecord> {
    const { store, project } = this.#workspace;
    const record = await store.deployments.find(project.id, idOrName);
    if (record !== null) return record;
    const { items } = await store.deployments.list(project.id, { limit: 1000 });
    const meant = suggest(
      idOrName,
      items.map(({ name }) => name),
    );
    throw new MillraceError({
      class: "not_found",
      code: "DEPLOYMENT_NOT_FOUND",
      message: `There is no deployment "${idOrName}" in project "${project.name}".${meant === undefined ? "" : ` Did you mean "${meant}"?`}`,
      action: "Run `npx millrace deployment list` to see what there is.",
    });
  }

  async #findByName(name: string): Promise<DeploymentRecord | null> {
    const { store, project } = this.#workspace;
    const record = await store.deployments.find(project.id, name).catch((error: unknown) => {
      // The beginning of several ids is as good a name for a new one as any other.
      if (isMillraceError(error) && error.code === "DEPLOYMENT_AMBIGUOUS") return null;
      throw error;
    });
    return record?.name === name ? record : null;
  }

  /** Who sets a deadline does not wait longer for the module either. */
  #ready(source: Source, options: DeployOptions): Promise<ReadySnapshot> {
    const call = { ...options, loadSeconds: options.timeoutSeconds };
    return readySnapshot(this.#workspace, source, call);
  }

  async plan(source: Source, options: DeployOptions): Promise<DeploymentPlan> {
    const { store, project } = this.#workspace;
    const ready = await this.#ready(source, options);
    const name = deploymentName(source, ready, options);
    const existing = await this.#findByName(name);
    const { record, deployer } =
      existing === null
        ? await this.#draft(name, options.stack)
        : { record: existing, deployer: await this.#deployerOf(existing) };
    if (existing === null) await mustBeFree(store, project.id, ready.snapshot.id, record);
    else {
      await this.#mustKeepFlavor(existing);
      await this.#mayUpdate(existing, ready, options);
    }
    const call = { ...options, timeoutSeconds: options.timeoutSeconds ?? PROMPT_SECONDS };
    return this.#driver.plan({
      ...this.#provisionInput(record, ready, deployer, overridesOf(options), call),
      record,
    });
  }

  async deploy(source: Source, options: DeployOptions): Promise<DeployResult> {
    const ready = await this.#ready(source, options);
    const name = deploymentName(source, ready, options);
    const existing = await this.#findByName(name);
    if (existing === null) return this.#create(name, ready, options);
    await this.#mustKeepFlavor(existing);
    return this.#update("provision", existing, ready, overridesOf(options), options);
  }

  async #create(name: string, ready: ReadySnapshot, options: DeployOptions): Promise<DeployResult> {
    const { store, project, user } = this.#workspace;
    const { record: draft, deployer } = await this.#draft(name, options.stack);
    await this.#workspace.plugins.flavor(deployer.flavor);
    await mustBeFree(store, project.id, ready.snapshot.id, draft);
    const { stack, flavor, deployerSettings } = draft;
    const record = await store.deployments
      .create({
        projectId: project.id,
        name,
        userId: user.id,
        stack,
        deployer: deployer.name,
        flavor,
        deployerSettings,
      })
      .catch((error: unknown) => {
        // Somebody made it in the meantime: then this is an update of theirs.
        if (isMillraceError(error) && error.code === "DEPLOYMENT_EXISTS") return null;
        throw error;
      });
    if (record === null) return this.deploy({ snapshot: ready.snapshot.id }, { ...options, name });
    const input = this.#provisionInput(record, ready, deployer, overridesOf(options), options);
    return this.#provision({ ...input, kind: "provision", created: true });
  }

  async #update(
    kind: ProvisionInput["kind"],
    record: DeploymentRecord,
    ready: ReadySnapshot,
    overrides: Overrides,
    options: DeployOptions,
  ): Promise<DeployResult> {
    await this.#mayUpdate(record, ready, options);
    const deployer = await this.#deployerOf(record);
    const input = this.#provisionInput(record, ready, deployer, overrides, options);
    return this.#provision({ ...input, kind, created: false });
  }

  async #provision(input: ProvisionInput): Promise<DeployResult> {
    const result = await this.#driver.provision(input);
    await forgetAuthKeys(input.record.id, this.#workspace.secrets, result.deployment.authKeyHash);
    return result;
  }

  async #mayUpdate(
    record: DeploymentRecord,
    ready: ReadySnapshot,
    options: DeployOptions,
  ): Promise<void> {
    const { store, project, user } = this.#workspace;
    if (options.update === false) throw alreadyExists(record);
    mustOwn(record, user, options.overtake ?? false);
    // One that is no more in the configuration is still the deployment's own.
    if (options.stack !== undefined && options.stack !== record.stack)
      await getStack(this.#workspace, options.stack);
    mustKeepStack(record, options.stack);
    await mustBeFree(store, project.id, ready.snapshot.id, record);
  }

  /** What the stack names now is what a deploy is about; a flavor that nobody provides is a slip. */
  async #mustKeepFlavor(record: DeploymentRecord): Promise<void> {
    const deployers = await listDeployers(this.#workspace);
    const current = deployers.find(({ name }) => name === record.deployer);
    if (current === undefined || current.flavor === record.flavor) return;
    await this.#workspace.plugins.flavor(current.flavor);
    throw deployerChanged(record, current.flavor);
  }

  #provisionInput(
    record: DeploymentRecord,
    ready: ReadySnapshot,
    deployer: DeployerChoice,
    overrides: Overrides,
    options: DeployOptions,
  ) {
    const { snapshot, manifest } = ready;
    return {
      record,
      snapshotId: snapshot.id,
      confirm: options.confirm,
      call: callOf(options, options.timeoutSeconds),
      prepare: async (target: DeploymentTarget, current: DeploymentRecord, platform: Platform) =>
        desire(this.#workspace, target, platform, {
          snapshot,
          manifest,
          deployer,
          flavor: await this.#workspace.plugins.flavor(record.flavor),
          overrides,
          currentAuthKeyHash: current.authKeyHash,
          notes: staleReferences(
            record,
            await listDeployers(this.#workspace),
            await listStacks(this.#workspace),
          ),
        }),
    };
  }

  /** The component as it is now; one that is gone or became another flavor leaves what the record kept of it. */
  async #deployerOf(record: DeploymentRecord): Promise<DeployerChoice> {
    const current = (await listDeployers(this.#workspace)).find(
      ({ name, flavor }) => name === record.deployer && flavor === record.flavor,
    );
    return (
      current ?? {
        name: record.deployer,
        flavor: record.flavor,
        ...storedSettings(record.deployerSettings),
      }
    );
  }

  /** A deployment that does not exist yet, for plans and rules. Its id is not the one that it will have. */
  async #draft(
    name: string,
    stackName: string | undefined,
  ): Promise<{ readonly record: DeploymentRecord; readonly deployer: DeployerEntry }> {
    const stack = await getStack(this.#workspace, stackName);
    const deployer = await getDeployer(this.#workspace, stack.deployer);
    return { deployer, record: this.#recordToBe(name, deployer, stack.name) };
  }

  #recordToBe(name: string, deployer: DeployerEntry, stack: string): DeploymentRecord {
    const { project, user } = this.#workspace;
    const now = Date.now();
    return {
      id: crypto.randomUUID(),
      projectId: project.id,
      name,
      userId: user.id,
      userName: user.name,
      stack,
      deployer: deployer.name,
      flavor: deployer.flavor,
      deployerSettings: keptSettings(deployer),
      snapshotId: null,
      revision: null,
      status: "ABSENT",
      statusReason: null,
      observedAt: null,
      url: null,
      authKeyHash: null,
      metadata: {},
      createdAt: now,
      updatedAt: now,
    };
  }

  /** The calls of the client. */
  get calls(): Client["deployments"] {
    const { store, project, user, secrets, artifacts } = this.#workspace;
    const owned = async (
      idOrName: string,
      overtake: boolean | undefined,
    ): Promise<DeploymentRecord> => {
      const record = await this.find(idOrName);
      mustOwn(record, user, overtake ?? false);
      return record;
    };
    return {
      list: ({ mine, ...filter } = {}) =>
        store.deployments.list(project.id, {
          ...filter,
          ...(mine === true ? { userId: user.id } : {}),
        }),
      get: async (idOrName, { showSecret = false } = {}) => {
        const deployment = await this.find(idOrName);
        const snapshot =
          deployment.snapshotId === null
            ? null
            : await store.snapshots.find(project.id, deployment.snapshotId);
        const { items } = await store.operations.list(deployment.id, { limit: 1 });
        const lastOperation = items[0] === undefined ? null : await asItStands(store, items[0]);
        const made = snapshot === null ? null : await lastProvision(store, deployment, snapshot.id);
        return {
          deployment: withReason(deployment, lastOperation),
          snapshot,
          manifest:
            snapshot === null || !artifacts.has(snapshot.id)
              ? null
              : await artifacts.manifest(snapshot.id),
          inventory: await store.inventory.list(deployment.id),
          lastOperation,
          previousSnapshotId: await findPreviousSnapshot(store, deployment),
          overrides: overridesOfRecord(withoutSecretSettings(made?.overrides ?? {})),
          hasAuthKey: deployment.authKeyHash !== null,
          authKey:
            showSecret && deployment.authKeyHash !== null
              ? await secrets.get(authKeyName(deployment.id, deployment.authKeyHash))
              : null,
        };
      },
      refresh: async (idOrName, options = {}) => {
        const { timeoutSeconds = PROMPT_SECONDS } = options;
        return this.#driver.refresh(await this.find(idOrName), callOf(options, timeoutSeconds));
      },
      provision: async (idOrName, options = {}) => {
        const record = await owned(idOrName, options.overtake);
        const snapshotId =
          options.snapshot === undefined
            ? record.snapshotId
            : (await findSnapshot(this.#workspace, options.snapshot)).id;
        if (snapshotId === null) throw neverServed(record);
        const last = await lastProvision(store, record, snapshotId);
        return this.#provisionAgain("provision", record, snapshotId, last, options);
      },
      deprovision: async (idOrName, options = {}) =>
        this.#driver.deprovision(
          await owned(idOrName, options.overtake),
          callOf(options, options.timeoutSeconds),
        ),
      delete: async (idOrName, options = {}) => {
        const record = await owned(idOrName, options.overtake);
        const { force = false, timeoutSeconds = force ? PROMPT_SECONDS : undefined } = options;
        return this.#driver.delete(record, force, callOf(options, timeoutSeconds));
      },
      rollback: async (idOrName, options = {}) => {
        const record = await this.#settled(await owned(idOrName, options.overtake), options);
        const to =
          options.to === undefined
            ? await previousSnapshot(store, record)
            : (await findSnapshot(this.#workspace, options.to)).id;
        const last = await lastProvision(store, record, to);
        return this.#provisionAgain("rollback", record, to, last, options);
      },
      wait: async (idOrName, { status = "RUNNING", timeoutSeconds, ...options } = {}) => {
        const record = await this.find(idOrName);
        const read = () => this.find(record.id);
        const refresh = async (call: Call) => this.#driver.refresh(await read(), call);
        const waiting = { clock: systemClock, timing: this.#workspace.timing, refresh, read };
        return waitForStatus(waiting, status, callOf(options, timeoutSeconds));
      },
      history: async (idOrName, query) => {
        const page = await store.operations.list((await this.find(idOrName)).id, query);
        const items = page.items.map((operation) => asItStands(store, operation));
        return { ...page, items: await Promise.all(items) };
      },
      logs: (idOrName, query = {}) => this.#logs(idOrName, query),
    };
  }

  /** An operation that did not come to its end may have changed what serves; what was before follows from that. */
  async #settled(record: DeploymentRecord, options: CallOptions): Promise<DeploymentRecord> {
    const { crashed, wanted } = await unfinished(this.#workspace.store, record.id);
    return crashed || wanted !== null
      ? this.#driver.refresh(record, callOf(options, PROMPT_SECONDS))
      : record;
  }

  async #provisionAgain(
    kind: ProvisionInput["kind"],
    record: DeploymentRecord,
    snapshotId: string,
    last: OperationRecord | null,
    options: DeployOptions,
  ): Promise<DeployResult> {
    const ready = await readySnapshot(this.#workspace, { snapshot: snapshotId }, options);
    const before = overridesOfRecord(last?.overrides ?? {});
    const given = overridesOf(options);
    const overrides: Overrides = {
      settings: merge(before.settings, given.settings),
      serving: merge(before.serving as JsonObject, given.serving as JsonObject),
      environment: { ...before.environment, ...given.environment },
    };
    return this.#update(kind, record, ready, overrides, options);
  }

  async *#logs(
    idOrName: string,
    {
      signal = new AbortController().signal,
      ...query
    }: Parameters<Client["deployments"]["logs"]>[1] & object,
  ) {
    const record = await this.find(idOrName);
    const { deployer } = await this.#load(record);
    const inventory = await this.#workspace.store.inventory.list(record.id);
    const context: ReadContext = { signal, clock: systemClock, progress: () => undefined };
    yield* deployer.logs(targetOf(this.#workspace.project, record, inventory), query, context);
  }
}

/** What a source's snapshot happens to be called must not decide which deployment it goes to. */
function deploymentName(
  source: Source,
  { snapshot, manifest }: ReadySnapshot,
  { name }: DeployOptions,
): string {
  const named = typeof source === "object" && "snapshot" in source ? snapshot.name : null;
  const chosen = validName("deployment", name ?? named ?? manifest.pipeline.name);
  if (ID.test(chosen)) throw namedAsId(chosen);
  return chosen;
}

/** How ids are written: who names a deployment by one must not meet another whose name it is. */
const ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function namedAsId(name: string): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "NAME_INVALID",
    message: `"${name}" is no usable deployment name: it has the form of an id.`,
    action: "Choose another one with --name.",
  });
}

/** A process that is gone could not say in the record that its operation is under way no more. */
function withReason(
  record: DeploymentRecord,
  lastOperation: OperationEntry | null,
): DeploymentRecord {
  if (record.status !== "PENDING" || lastOperation?.outcome !== "interrupted") return record;
  const statusReason = `${lastOperation.kind} was interrupted; the next command picks it up.`;
  return { ...record, statusReason };
}

function overridesOf({ settings = {}, serving = {}, environment = {} }: DeployOptions): Overrides {
  return { settings, serving, environment };
}

/** What an operation kept: it was written by `desire`. */
function overridesOfRecord(record: JsonObject): Overrides {
  const part = (key: string): JsonObject => {
    const value = record[key];
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as JsonObject)
      : {};
  };
  const environment = Object.fromEntries(
    Object.entries(part("environment")).map(([name, value]) => [name, String(value)]),
  );
  return { settings: part("settings"), serving: part("serving"), environment };
}

function callOf({ signal, onProgress }: CallOptions, timeoutSeconds: number | undefined): Call {
  return { signal, onProgress, timeoutSeconds: timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS };
}

function alreadyExists({ name }: DeploymentRecord): MillraceError {
  return new MillraceError({
    class: "conflict",
    code: "DEPLOYMENT_EXISTS",
    message: `There is a deployment "${name}" already.`,
    action: "Choose another name, or allow the update.",
  });
}

function neverServed({ name }: DeploymentRecord): MillraceError {
  return new MillraceError({
    class: "conflict",
    code: "DEPLOYMENT_WITHOUT_SNAPSHOT",
    message: `No snapshot has ever served in deployment "${name}".`,
    action: "Name one with --snapshot, or deploy the pipeline.",
  });
}
