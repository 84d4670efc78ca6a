import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { inspect } from "node:util";
import {
  canonicalJson,
  type Deployer,
  type DeployerContext,
  type DeploymentRequest,
  type DeploymentTarget,
  type InventoryResource,
  type JsonObject,
  type JsonValue,
  type LogLine,
  type LogQuery,
  type Observation,
  type Plan,
  type ResourceKey,
  SERVICE_CONFIG_VARIABLE,
  type Secret,
  type ServingSettings,
  serviceConfigSchema,
} from "@millrace/core";
import { type Bench, show, systemClock } from "./bench.ts";
import type { FixtureName, Requests } from "./fixtures.ts";
import type { PlatformResource } from "./harness.ts";

/** What a request differs in from the fixture's own. */
export interface Variation {
  readonly settings?: JsonObject;
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: Readonly<Record<string, Secret>>;
  readonly serving?: Partial<ServingSettings>;
}

export interface JournalEntry extends ResourceKey {
  readonly call: "intend" | "present" | "gone";
}

/** One deployment, driven by the calls of the contract, with the journal kept as control keeps it. */
export class Subject {
  readonly id: string;
  name: string;
  readonly deployer: Deployer;
  readonly journal: JournalEntry[] = [];
  /** Called with every entry before it is written; may reject. */
  onJournal: (entry: JournalEntry) => Promise<void> = async () => {};
  /** Everything that the deployer let out, as text, to look for secrets in. */
  readonly said: string[] = [];
  readonly inventory = new Map<string, InventoryResource>();
  metadata: Readonly<Record<string, JsonValue>> = {};
  readonly #bench: Bench;
  readonly #requests: Requests;

  constructor(
    bench: Bench,
    requests: Requests,
    {
      id,
      name,
      deployer,
    }: { readonly id: string; readonly name: string; readonly deployer: Deployer },
  ) {
    this.#bench = bench;
    this.#requests = requests;
    this.id = id;
    this.name = name;
    this.deployer = deployer;
  }

  get target(): DeploymentTarget {
    return {
      id: this.id,
      name: this.name,
      project: "default",
      inventory: [...this.inventory.values()],
      metadata: this.metadata,
    };
  }

  request(fixture: FixtureName, variation: Variation = {}): DeploymentRequest {
    const made = this.#requests.get(fixture);
    assert.ok(made !== undefined, `there is no fixture ${fixture}`);
    const { settings = {}, environment = {}, secrets = {}, serving = {} } = variation;
    const parts = {
      snapshot: made.snapshot.id,
      settings,
      environment,
      serving,
      secrets: Object.entries(secrets).map(([name, secret]) => [name, secret.reveal()]),
    };
    const revision = createHash("sha256").update(canonicalJson(parts)).digest("hex");
    const config = serviceConfigSchema.parse(
      JSON.parse(made.environment[SERVICE_CONFIG_VARIABLE] ?? "null"),
    );
    const {
      authKey: _key,
      generateAuthKey: _generate,
      ...plainServing
    } = {
      ...config.serving,
      ...serving,
    };
    const service = {
      ...config,
      deployment: { ...config.deployment, id: this.id, name: this.name },
      revision,
      serving: plainServing,
      store: null,
    };
    return {
      ...made,
      deployment: this.target,
      revision,
      settings: this.#bench.settings(settings),
      serving: { ...made.serving, ...serving },
      environment: {
        ...made.environment,
        [SERVICE_CONFIG_VARIABLE]: JSON.stringify(service),
        ...environment,
      },
      secrets,
    };
  }

  plan(request: DeploymentRequest, signal?: AbortSignal): Promise<Plan> {
    return this.#listen(
      this.deployer.plan({ ...request, deployment: this.target }, this.context(signal)),
    );
  }

  provision(request: DeploymentRequest, signal?: AbortSignal): Promise<Observation> {
    return this.#observe(
      this.deployer.provision({ ...request, deployment: this.target }, this.context(signal)),
    );
  }

  inspect(signal?: AbortSignal): Promise<Observation> {
    return this.#observe(this.deployer.inspect(this.target, this.context(signal)));
  }

  deprovision(signal?: AbortSignal): Promise<Observation> {
    return this.#observe(this.deployer.deprovision(this.target, this.context(signal)));
  }

  /** The same with somebody who takes the logs of what is removed. */
  deprovisionKeeping(keepLog: NonNullable<DeployerContext["keepLog"]>): Promise<Observation> {
    return this.#observe(this.deployer.deprovision(this.target, { ...this.context(), keepLog }));
  }

  async logs(query: LogQuery = {}, signal?: AbortSignal): Promise<LogLine[]> {
    const lines: LogLine[] = [];
    for await (const line of this.deployer.logs(this.target, query, this.context(signal)))
      lines.push(line);
    this.said.push(...lines.map(({ text }) => text));
    return lines;
  }

  /** Provisions and waits until the roll-out has ended, whichever way. */
  async rollOut(request: DeploymentRequest): Promise<Observation> {
    const first = await this.provision(request);
    if (hasEnded(first, request.revision)) return first;
    return this.#bench.until(
      `the roll-out of revision ${request.revision.slice(0, 8)} has ended`,
      () => this.inspect(),
      (seen) => hasEnded(seen, request.revision),
    );
  }

  /** Provisions until it serves. */
  async bringUp(request: DeploymentRequest): Promise<Observation> {
    const seen = await this.rollOut(request);
    assert.equal(seen.state, "running", `it does not run: ${show(seen)}`);
    assert.equal(seen.serving?.revision, request.revision, "another revision serves");
    await this.#bench.until(
      "the service reports the new revision",
      () => this.#bench.servedRevision(seen.url),
      (revision) => revision === request.revision,
    );
    return seen;
  }

  /** Removes it until it is observed as absent. */
  async bringDown(): Promise<Observation> {
    const first = await this.deprovision();
    if (first.state === "absent") return first;
    return this.#bench.until(
      "it is absent",
      () => this.inspect(),
      ({ state }) => state === "absent",
    );
  }

  /** What exists on the platform that this deployment wrote to its journal. */
  async resources(): Promise<readonly PlatformResource[]> {
    const written = new Set(this.journal.map(keyOf));
    return (await this.#bench.list()).filter((resource) => written.has(keyOf(resource)));
  }

  context(signal: AbortSignal = AbortSignal.timeout(this.#bench.patienceMs)): DeployerContext {
    return {
      signal,
      clock: systemClock,
      progress: (message) => void this.said.push(message),
      journal: {
        intend: ({ kind, name }) => this.#write({ call: "intend", kind, name }, null),
        present: ({ kind, name }, platformId) =>
          this.#write({ call: "present", kind, name }, platformId ?? null),
        gone: ({ kind, name }) => this.#write({ call: "gone", kind, name }, null),
      },
    };
  }

  async #write(entry: JournalEntry, platformId: string | null): Promise<void> {
    await this.onJournal(entry);
    this.journal.push(entry);
    this.said.push(JSON.stringify({ entry, platformId }));
    const { call, kind, name } = entry;
    if (call === "gone") this.inventory.delete(keyOf(entry));
    else {
      const state = call === "intend" ? "intended" : "present";
      this.inventory.set(keyOf(entry), { kind, name, state, platformId });
    }
  }

  async #observe(call: Promise<Observation>): Promise<Observation> {
    const seen = await this.#listen(call);
    this.metadata = seen.metadata;
    return seen;
  }

  /** Keeps what comes back, be it a result or an error. */
  async #listen<T>(call: Promise<T>): Promise<T> {
    try {
      const result = await call;
      this.said.push(JSON.stringify(result), deepText(result));
      return result;
    } catch (error) {
      this.said.push(JSON.stringify(error), deepText(error));
      throw error;
    }
  }
}

export function deepText(value: unknown): string {
  return inspect(value, {
    depth: Number.POSITIVE_INFINITY,
    maxStringLength: null,
    showHidden: true,
  });
}

export function hasEnded({ rollout, serving }: Observation, revision: string): boolean {
  if (rollout?.revision !== revision) return false;
  return rollout.phase === "failed" || (rollout.phase === "complete" && serving !== null);
}

export function keyOf({ kind, name }: ResourceKey): string {
  return `${kind} ${name}`;
}

export function keysOf(resources: readonly ResourceKey[]): string[] {
  return resources.map(keyOf).sort();
}
