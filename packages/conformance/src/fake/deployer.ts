import {
  type ChangeAction,
  type Deployer,
  type DeployerContext,
  type DeployerOptions,
  type DeploymentRequest,
  type DeploymentTarget,
  type FieldChange,
  type FoundDeployment,
  type JsonValue,
  type LogLine,
  type LogQuery,
  MillraceError,
  type Observation,
  type Plan,
  type ReadContext,
  type ResourceChange,
  type ResourceKey,
  resourceName,
  type Secret,
} from "@millrace/core";
import { FakeClient } from "./client.ts";
import type { LogEntry, SecretView, ServiceView, Spec, Strategy, Tags } from "./records.ts";
import type { RegistryLogin } from "./registry.ts";
import type { FakeSettings } from "./settings.ts";

const POLL_MS = 10;
const LAST_LINES = 20;

/** The two resources of a deployment: its service, and the values that only the service may read. */
export interface Names {
  readonly service: ResourceKey;
  readonly secrets: ResourceKey;
}

/** What exists of a deployment. */
export interface Existing {
  readonly service: ServiceView | null;
  readonly secrets: SecretView | null;
}

/**
 * The reference deployer: right in every clause, on a platform that lags, throttles and loses replies. Read it beside
 * the contract.
 */
export class FakeDeployer implements Deployer<FakeSettings> {
  protected readonly client: FakeClient;

  constructor({ settings }: DeployerOptions<FakeSettings>) {
    this.client = new FakeClient(settings.endpoint);
  }

  async plan(request: DeploymentRequest<FakeSettings>, { signal }: ReadContext): Promise<Plan> {
    const names = this.names(request.deployment);
    const existing = await this.look(names, signal);
    const values = await this.client.readSecretValues(names.secrets.name, signal);
    return this.compare(request, names, existing, values);
  }

  async provision(
    request: DeploymentRequest<FakeSettings>,
    context: DeployerContext,
  ): Promise<Observation> {
    context.signal.throwIfAborted();
    const names = this.names(request.deployment);
    await this.untilNotDeleting(names, context);
    if (Object.keys(request.secrets).length > 0) await this.putSecrets(request, names, context);
    await this.putService(request, names, context);
    if (Object.keys(request.secrets).length === 0) await this.removeSecrets(names.secrets, context);
    return this.inspect(request.deployment, context);
  }

  async inspect(target: DeploymentTarget, { signal }: ReadContext): Promise<Observation> {
    const names = this.names(target);
    const existing = await this.look(names, signal);
    const observation = this.observe(existing, names);
    if (existing.service?.rollout.phase !== "failed") return observation;
    const lines = await this.lines(names.service.name, signal);
    const logs = lines.slice(-LAST_LINES).map(({ text }) => text);
    const error = rolloutFailed(existing.service, logs);
    return {
      ...observation,
      rollout: observation.rollout === null ? null : { ...observation.rollout, error },
      error: observation.state === "failed" ? error : null,
    };
  }

  async deprovision(target: DeploymentTarget, context: DeployerContext): Promise<Observation> {
    context.signal.throwIfAborted();
    const names = this.names(target);
    await this.removeService(names.service, context);
    await this.removeSecrets(names.secrets, context);
    return this.inspect(target, context);
  }

  async discover({ signal }: ReadContext): Promise<readonly FoundDeployment[]> {
    const [services, secrets] = await Promise.all([
      this.client.listServices(signal),
      this.client.listSecrets(signal),
    ]);
    const found = new Map<string, FoundDeployment & { readonly resources: ResourceKey[] }>();
    const note = (kind: string, { name, tags }: { readonly name: string; readonly tags: Tags }) => {
      const { deployment: id, name: called = "", project = "" } = tags;
      if (id === undefined) return;
      const one = found.get(id) ?? { id, name: called, project, resources: [] };
      one.resources.push({ kind, name });
      found.set(id, one);
    };
    for (const service of services) note("service", service);
    for (const secret of secrets) note("secret-set", secret);
    return [...found.values()];
  }

  async *logs(
    target: DeploymentTarget,
    query: LogQuery,
    context: ReadContext,
  ): AsyncGenerator<LogLine> {
    const { name } = this.names(target).service;
    const past = await this.lines(name, context.signal);
    yield* this.select(past, query).map(toLogLine);
    let after = past.at(-1)?.sequence ?? 0;
    while (query.follow === true && (await sleptUnlessAborted(context))) {
      try {
        const page = await this.client.readLogs(name, after, context.signal);
        if (page === null) return;
        after = page.lines.at(-1)?.sequence ?? after;
        yield* page.lines.map(toLogLine);
      } catch (error) {
        if (context.signal.aborted) return;
        throw error;
      }
    }
  }

  protected select(lines: readonly LogEntry[], { since, tail }: LogQuery): LogEntry[] {
    const wanted = lines.filter(({ at }) => since === undefined || at >= since.getTime());
    return tail === undefined ? wanted : wanted.slice(Math.max(0, wanted.length - tail));
  }

  /** Only the id counts: the deployment's name may change. */
  protected names(target: DeploymentTarget): Names {
    const name = resourceName({ id: target.id, name: "" }, { maxLength: 40 });
    return { service: { kind: "service", name }, secrets: { kind: "secret-set", name } };
  }

  protected tags(target: DeploymentTarget): Tags {
    const { id, name, project } = target;
    return { "managed-by": "millrace", deployment: id, name, project };
  }

  protected async look(names: Names, signal: AbortSignal): Promise<Existing> {
    const [service, secrets] = await Promise.all([
      this.client.readService(names.service.name, signal),
      this.client.readSecret(names.secrets.name, signal),
    ]);
    return { service, secrets };
  }

  protected compare(
    request: DeploymentRequest<FakeSettings>,
    names: Names,
    existing: Existing,
    values: Readonly<Record<string, string>> | null,
  ): Plan {
    const changes = [
      ...secretChanges(request, names, values),
      this.serviceChange(request, names, existing.service, values),
    ];
    return { action: strongest(changes), changes, interrupts: false };
  }

  protected serviceChange(
    request: DeploymentRequest<FakeSettings>,
    names: Names,
    service: ServiceView | null,
    values: Readonly<Record<string, string>> | null,
  ): ResourceChange {
    if (service === null || service.state === "deleting")
      return { ...names.service, action: "create", fields: [] };
    if (isSettled(service, request.revision))
      return { ...names.service, action: "no-op", fields: [] };
    const fields = [
      ...specChanges(service.spec, this.specOf(request, names)),
      ...secretFields(request.secrets, values),
      ...(service.spec.revision === request.revision
        ? [{ field: "state", before: service.state, after: "running" }]
        : []),
    ];
    return { ...names.service, action: "update", fields };
  }

  protected specOf(request: DeploymentRequest<FakeSettings>, names: Names): Spec {
    const { artefact, revision, snapshot, environment, settings, secrets } = request;
    return {
      revision,
      snapshotId: snapshot.id,
      pipeline: snapshot.pipeline,
      environment,
      size: settings.size,
      replicas: settings.replicas,
      secrets: Object.keys(secrets).length === 0 ? null : names.secrets.name,
      image: artefact.kind === "image" ? artefact.reference : null,
    };
  }

  protected async putSecrets(
    request: DeploymentRequest<FakeSettings>,
    { secrets }: Names,
    { journal, signal }: DeployerContext,
  ): Promise<void> {
    const before = await this.client.readSecretValues(secrets.name, signal);
    if (before !== null && secretFields(request.secrets, before).length === 0) return;
    const values = revealed(request.secrets);
    await journal.intend(secrets);
    const { id } = await this.client.putSecret(
      secrets.name,
      { tags: this.tags(request.deployment), values },
      signal,
    );
    await journal.present(secrets, id);
  }

  protected async putService(
    request: DeploymentRequest<FakeSettings>,
    names: Names,
    context: DeployerContext,
  ): Promise<void> {
    const { journal, signal } = context;
    const { service: key } = names;
    const found = await this.client.readService(key.name, signal);
    if (found !== null && isSettled(found, request.revision)) {
      await journal.present(key, found.id);
      return;
    }
    const spec = this.specOf(request, names);
    await journal.intend(key);
    context.progress(found === null ? "Creating the service" : "Updating the service");
    const service =
      found === null
        ? await this.createService(key, request, spec, signal)
        : await this.updateService(key, request, spec, "rolling", signal);
    await journal.present(key, service.id);
    await this.untilShown(service, context);
  }

  /** Reads lag: whoever inspects next must not take what was before for the outcome. */
  protected async untilShown(
    { name, generation }: ServiceView,
    { clock, signal }: DeployerContext,
  ): Promise<void> {
    for (;;) {
      const shown = await this.client.readService(name, signal);
      if (shown !== null && shown.generation >= generation) return;
      await clock.sleep(POLL_MS, signal);
    }
  }

  /** Reads lag: a service that was just made may not show yet, and then the creation is refused. */
  protected async createService(
    { name }: ResourceKey,
    request: DeploymentRequest<FakeSettings>,
    spec: Spec,
    signal: AbortSignal,
  ): Promise<ServiceView> {
    const tags = this.tags(request.deployment);
    try {
      const login = this.login(request);
      return await this.client.createService({ name, tags, spec, login }, signal);
    } catch (error) {
      if (!(error instanceof MillraceError) || error.code !== "FAKE_CONFLICT") throw error;
      return await this.updateService({ kind: "service", name }, request, spec, "rolling", signal);
    }
  }

  protected updateService(
    { name }: ResourceKey,
    request: DeploymentRequest<FakeSettings>,
    spec: Spec,
    strategy: Strategy,
    signal: AbortSignal,
  ): Promise<ServiceView> {
    return this.client.updateService(
      name,
      { tags: this.tags(request.deployment), spec, login: this.login(request), strategy },
      signal,
    );
  }

  /** What the platform needs to pull the image. */
  protected login({ artefact }: DeploymentRequest<FakeSettings>): RegistryLogin | null {
    if (artefact.kind === "bundle" || artefact.credentials === null) return null;
    const { username, password } = artefact.credentials;
    return { username, password: password.reveal() };
  }

  protected async removeService(key: ResourceKey, context: DeployerContext): Promise<void> {
    await this.handOverLog(key, context);
    await this.removeUntilGone(context, key, () =>
      this.client.deleteService(key.name, context.signal),
    );
  }

  /** The log goes with the service. */
  protected async handOverLog(
    { name }: ResourceKey,
    { keepLog, signal }: DeployerContext,
  ): Promise<void> {
    if ((await this.client.readService(name, signal)) === null) return;
    await keepLog?.(textOf(await this.lines(name, signal)));
  }

  protected async removeSecrets(key: ResourceKey, context: DeployerContext): Promise<void> {
    await this.removeUntilGone(context, key, () =>
      this.client.deleteSecret(key.name, context.signal),
    );
  }

  /** Removal takes its time; the platform itself says when there is nothing left to remove. */
  protected async removeUntilGone(
    { clock, signal, journal }: DeployerContext,
    key: ResourceKey,
    remove: () => Promise<boolean>,
  ): Promise<void> {
    while (await remove()) await clock.sleep(POLL_MS, signal);
    await journal.gone(key);
  }

  /** What is being deleted can neither be updated nor made anew. */
  protected async untilNotDeleting(
    { service }: Names,
    { clock, signal }: DeployerContext,
  ): Promise<void> {
    while ((await this.client.readService(service.name, signal))?.state === "deleting")
      await clock.sleep(POLL_MS, signal);
  }

  protected observe({ service, secrets }: Existing, names: Names): Observation {
    const resources = [
      ...(service === null ? [] : [{ ...names.service, platformId: service.id }]),
      ...(secrets === null ? [] : [{ ...names.secrets, platformId: secrets.id }]),
    ];
    if (service === null) {
      const error = secrets === null ? null : serviceGone(names.service.name);
      return {
        state: secrets === null ? "absent" : "failed",
        url: null,
        serving: null,
        rollout: null,
        error,
        resources,
        metadata: {},
      };
    }
    const { revision, phase } = service.rollout;
    return {
      state: observedState(service),
      url: service.url,
      serving: service.serving,
      rollout: { revision, phase, error: null },
      error: isHeld(service) ? serviceHeld(service) : null,
      resources,
      metadata: { serviceId: service.id, size: service.spec.size },
    };
  }

  /** Every line so far, page by page. */
  protected async lines(name: string, signal: AbortSignal): Promise<readonly LogEntry[]> {
    const lines: LogEntry[] = [];
    for (let after = 0; ; ) {
      const page = await this.client.readLogs(name, after, signal);
      if (page === null) return lines;
      lines.push(...page.lines);
      after = page.lines.at(-1)?.sequence ?? after;
      if (!page.more) return lines;
    }
  }
}

async function* textOf(lines: readonly LogEntry[]): AsyncGenerator<Uint8Array> {
  for (const { text } of lines) yield Buffer.from(`${text}\n`);
}

const STRENGTH = ["no-op", "delete", "create", "update", "replace"] as const;

export function strongest(changes: readonly ResourceChange[]): Plan["action"] {
  const actions = new Set<ChangeAction>(changes.map(({ action }) => action));
  // A service that is made anew makes it a creation, whatever else is there.
  if (changes.some(({ kind, action }) => kind === "service" && action === "create"))
    return "create";
  const action = STRENGTH.findLast((candidate) => actions.has(candidate)) ?? "no-op";
  return action === "delete" ? "update" : action;
}

function isHeld({ state }: ServiceView): boolean {
  return state === "stopped" || state === "paused";
}

function isSettled(service: ServiceView, revision: string): boolean {
  if (isHeld(service) || service.state === "deleting") return false;
  return service.rollout.revision === revision && service.rollout.phase !== "failed";
}

function secretChanges(
  { secrets }: DeploymentRequest<FakeSettings>,
  { secrets: key }: Names,
  values: Readonly<Record<string, string>> | null,
): ResourceChange[] {
  const wanted = Object.keys(secrets).length > 0;
  if (!wanted) return values === null ? [] : [{ ...key, action: "delete", fields: [] }];
  if (values === null) return [{ ...key, action: "create", fields: [] }];
  const fields = secretFields(secrets, values);
  return [{ ...key, action: fields.length === 0 ? "no-op" : "update", fields }];
}

/** Names of the secrets that differ; never a value. */
function secretFields(
  secrets: Readonly<Record<string, Secret>>,
  values: Readonly<Record<string, string>> | null,
): FieldChange[] {
  const names = new Set([...Object.keys(secrets), ...Object.keys(values ?? {})]);
  return [...names]
    .filter((name) => secrets[name]?.reveal() !== values?.[name])
    .map((name) => ({ field: `secrets.${name}` }));
}

function specChanges(before: Spec, after: Spec): FieldChange[] {
  const a = new Map(leaves(before));
  const b = new Map(leaves(after));
  return [...new Set([...a.keys(), ...b.keys()])]
    .filter((field) => a.get(field) !== b.get(field))
    .map((field) => ({ field, before: a.get(field) ?? null, after: b.get(field) ?? null }));
}

function leaves({ environment, ...rest }: Spec): [string, JsonValue][] {
  return [
    ...Object.entries(rest),
    ...Object.entries(environment).map(([name, value]): [string, string] => [
      `environment.${name}`,
      value,
    ]),
  ];
}

function revealed(secrets: Readonly<Record<string, Secret>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(secrets).map(([name, secret]) => [name, secret.reveal()]),
  );
}

function observedState({ state }: ServiceView): Observation["state"] {
  switch (state) {
    case "running":
      return "running";
    case "creating":
    case "deleting":
      return "progressing";
    case "failed":
    case "stopped":
    case "paused":
      return "failed";
  }
}

function rolloutFailed(service: ServiceView, logs: readonly string[]): MillraceError {
  return new MillraceError({
    class: "platform",
    code: "FAKE_ROLLOUT_FAILED",
    message: `The roll-out of service ${service.name} failed: ${service.rollout.message}`,
    action: "Read the log lines, correct the pipeline and deploy again.",
    details: { logs },
  });
}

function serviceHeld({ name, state }: ServiceView): MillraceError {
  return new MillraceError({
    class: "platform",
    code: "FAKE_SERVICE_HELD",
    message: `Service ${name} was ${state}.`,
    action: "Provision the deployment: that starts it again.",
  });
}

function serviceGone(name: string): MillraceError {
  return new MillraceError({
    class: "platform",
    code: "FAKE_SERVICE_GONE",
    message: `Service ${name} is gone, and its secrets are still there.`,
    action: "Provision the deployment to make it anew, or deprovision it.",
  });
}

export function toLogLine({ at, replica, text }: LogEntry): LogLine {
  return { time: new Date(at), replica, stream: "stdout", text };
}

async function sleptUnlessAborted({ clock, signal }: ReadContext): Promise<boolean> {
  try {
    await clock.sleep(POLL_MS, signal);
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    throw error;
  }
}
