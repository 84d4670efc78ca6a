import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Deployer,
  type DeployerContext,
  type DeploymentRecord,
  type DeploymentRequest,
  type DeploymentTarget,
  defineFlavor,
  type ErrorClass,
  MillraceError,
  type Observation,
  type OperationRecord,
  type ReadContext,
  servingSettingsSchema,
} from "@millrace/core";
import { type Lease, openStore, type Store } from "@millrace/store";
import { z } from "zod";
import type { DeployResult } from "../client.ts";
import { systemClock } from "./clock.ts";
import type { Call, Desired, DriverDependencies, ProvisionInput } from "./dependencies.ts";
import { createDriver, type Driver } from "./driver.ts";
import { operationsOf } from "./history.ts";
import type { Revision } from "./verdict.ts";

/** What goes wrong with one call to the platform. */
export type Fault =
  /** Too many calls: worth another try. */
  | "throttled"
  /** Credentials that expired: no try will help. */
  | "expired"
  | "refused"
  /** It does what was asked, and the answer never arrives. */
  | "reply lost"
  /** A read shows what was there before the last change. */
  | "stale"
  | "bug";

const RESOURCES = ["folder", "process"] as const;

/** A platform in memory that runs one deployment, with a real HTTP server as its service. */
export class TestPlatform {
  /** What exists, by kind. */
  readonly resources = new Set<string>();
  /** Every snapshot that ever took requests. */
  readonly everServed = new Set<string>();
  /** One for each call to come; then all goes well. */
  faults: Fault[] = [];
  calls: string[] = [];
  serving: Revision | null = null;
  healthy = true;
  /** The next roll-outs fail, and what served before goes on. */
  rolloutsFail = false;
  /** Whose fault a failed roll-out is. */
  failureClass: ErrorClass = "platform";
  /** A roll-out is done after so many reads. */
  rolloutReads = 2;
  /** Everything is taken and nothing is answered. */
  hangs = false;
  /** Roll-outs and removals never end. */
  stuck = false;
  deploymentId = "";
  rollout: (Revision & { phase: "progressing" | "complete" | "failed"; reads: number }) | null =
    null;
  #removing = false;
  #before: Observation | null = null;
  readonly #server = createServer((request, response) => {
    response.writeHead(request.url === "/health/ready" && this.answers ? 200 : 503, {
      "content-type": "application/json",
    });
    response.end(
      JSON.stringify({
        status: "ready",
        deployment_id: this.deploymentId,
        snapshot_id: this.serving?.snapshotId,
        revision: this.serving?.revision,
      }),
    );
  });

  get answers(): boolean {
    return this.serving !== null && this.healthy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  async stop(): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Somebody deletes a resource; without its process nothing serves. */
  remove(kind: string): void {
    this.resources.delete(kind);
    this.serving = null;
  }

  async provision(request: DeploymentRequest, context: DeployerContext): Promise<Observation> {
    return this.#call("provision", context, async () => {
      this.#before = this.observe();
      this.#removing = false;
      for (const kind of RESOURCES) {
        await context.journal.intend({ kind, name: this.deploymentId });
        this.resources.add(kind);
        await context.journal.present({ kind, name: this.deploymentId });
      }
      const wanted = { revision: request.revision, snapshotId: request.snapshot.id };
      const done = this.serving?.revision === wanted.revision && this.healthy;
      this.rollout = {
        ...wanted,
        phase: done ? "complete" : "progressing",
        reads: this.rolloutReads,
      };
      return this.observe();
    });
  }

  async inspect(context: ReadContext): Promise<Observation> {
    return this.#call("inspect", context, async () => {
      this.#proceed();
      return this.observe();
    });
  }

  async deprovision(context: DeployerContext): Promise<Observation> {
    return this.#call("deprovision", context, async () => {
      this.#before = this.observe();
      this.#removing = true;
      this.serving = null;
      this.rollout = null;
      if (this.stuck) return this.observe();
      for (const kind of [...this.resources]) {
        this.resources.delete(kind);
        await context.journal.gone({ kind, name: this.deploymentId });
      }
      return this.observe();
    });
  }

  async #call(
    name: string,
    { signal }: ReadContext,
    work: () => Promise<Observation>,
  ): Promise<Observation> {
    signal.throwIfAborted();
    this.calls.push(name);
    if (this.hangs) await untilAborted(signal);
    const fault = this.faults.shift();
    switch (fault) {
      case undefined:
        return work();
      case "throttled":
        throw unreachable("TEST_THROTTLED", "Too many calls.", true);
      case "expired":
        throw unreachable("TEST_EXPIRED", "The credentials expired.", false);
      case "refused":
        throw platformError("TEST_REFUSED", "The quota is used up.");
      case "bug":
        throw new TypeError("undefined is not a function");
      case "reply lost":
        await work();
        throw unreachable("TEST_LOST", "The connection broke.", true);
      case "stale": {
        const now = await work();
        return name === "inspect" ? (this.#before ?? now) : now;
      }
    }
  }

  #proceed(): void {
    const { rollout } = this;
    if (rollout === null || rollout.phase !== "progressing" || this.stuck) return;
    rollout.reads -= 1;
    if (rollout.reads > 0) return;
    rollout.phase = this.rolloutsFail ? "failed" : "complete";
    if (rollout.phase === "failed") return;
    this.serving = { revision: rollout.revision, snapshotId: rollout.snapshotId };
    this.healthy = true;
    this.everServed.add(rollout.snapshotId);
  }

  observe(): Observation {
    const state = this.#state();
    const error = state === "failed" ? crashed(this.failureClass) : null;
    return {
      state,
      url: state === "absent" ? null : this.url,
      serving: this.serving,
      rollout:
        this.rollout === null
          ? null
          : {
              revision: this.rollout.revision,
              phase: this.rollout.phase,
              error: this.rollout.phase === "failed" ? crashed(this.failureClass) : null,
            },
      error,
      resources: [...this.resources].map((kind) => ({
        kind,
        name: this.deploymentId,
        platformId: `id-of-${kind}`,
      })),
      metadata: state === "absent" ? {} : { process: 42 },
    };
  }

  #state(): Observation["state"] {
    if (this.resources.size === 0) return "absent";
    if (this.#removing) return "progressing";
    if (this.serving !== null) return "running";
    return this.rollout?.phase === "progressing" ? "progressing" : "failed";
  }
}

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

function unreachable(code: string, message: string, retryable: boolean): MillraceError {
  return new MillraceError({ class: "unreachable", code, message, action: "Wait.", retryable });
}

function platformError(code: string, message: string): MillraceError {
  return new MillraceError({ class: "platform", code, message, action: "Ask for more." });
}

function crashed(errorClass: ErrorClass): MillraceError {
  return new MillraceError({
    class: errorClass,
    code: "TEST_CRASHED",
    message: "The process ended with 1.",
    details: { logs: ["Error: no such file"] },
  });
}

const CAPABILITIES = {
  artefact: "bundle",
  logs: { tail: false, since: false, follow: false, replicas: false },
  secrets: false,
  zeroDowntime: true,
  keepsOldOnFailure: true,
  scaleToZero: false,
  trafficSplit: false,
  stableUrl: true,
  tls: false,
} as const;

function deployerFor(platform: TestPlatform): Deployer {
  return {
    async plan(request, context) {
      platform.calls.push("plan");
      await planFault(platform, context);
      const complete = platform.resources.size === RESOURCES.length;
      const same = complete && platform.serving?.revision === request.revision;
      const action = platform.resources.size === 0 ? "create" : same ? "no-op" : "update";
      return {
        action,
        changes: RESOURCES.map((kind) => ({
          action,
          kind,
          name: platform.deploymentId,
          fields: [],
        })),
        interrupts: false,
      };
    },
    provision: (request, context) => platform.provision(request, context),
    inspect: (_target, context) => platform.inspect(context),
    deprovision: (_target, context) => platform.deprovision(context),
    async *logs() {},
  };
}

/** A plan is a read like any other, but one that shows no change. */
async function planFault(platform: TestPlatform, { signal }: ReadContext): Promise<void> {
  if (platform.hangs) await untilAborted(signal);
  const fault = platform.faults.shift();
  if (fault === "expired") throw unreachable("TEST_EXPIRED", "The credentials expired.", false);
  if (fault === "throttled") throw unreachable("TEST_THROTTLED", "Too many calls.", true);
}

/** A real store in a folder of its own, and test platforms for deployments in it. */
export class TestBed {
  readonly #folder = mkdtempSync(join(tmpdir(), "millrace-lifecycle-"));
  readonly #beds: Bed[] = [];
  #store: Promise<Store> | undefined;
  #made = 0;

  async bed(): Promise<Bed> {
    this.#store ??= openStore({ url: join(this.#folder, "millrace.db") });
    const store = await this.#store;
    const bed = await Bed.make(store, `d${++this.#made}`);
    this.#beds.push(bed);
    return bed;
  }

  async close(): Promise<void> {
    for (const bed of this.#beds) await bed.platform.stop();
    await (await this.#store)?.close();
    rmSync(this.#folder, { recursive: true });
  }
}

/** One deployment on one test platform. */
export class Bed {
  readonly store: Store;
  readonly platform = new TestPlatform();
  readonly dependencies: DriverDependencies;
  readonly name: string;
  id = "";
  /** Told by the last call. */
  readonly told: string[] = [];

  private constructor(
    store: Store,
    name: string,
    owner: Pick<DriverDependencies, "project" | "user">,
  ) {
    this.store = store;
    this.name = name;
    const flavor = defineFlavor({
      name: "test",
      description: "Runs in memory.",
      capabilities: CAPABILITIES,
      settings: z.strictObject({}),
      create: async () => deployerFor(this.platform),
    });
    this.dependencies = {
      ...owner,
      store,
      clock: systemClock,
      timing: { pollMs: 1, pollMaxMs: 4, healthTimeoutMs: 2000, leaseTtlMs: 60_000 },
      deployerOf: async () => ({ flavor, deployer: deployerFor(this.platform) }),
      forget: async () => undefined,
    };
  }

  static async make(store: Store, name: string): Promise<Bed> {
    const project = await store.projects.ensure("default");
    const user = await store.users.ensure("ada");
    const bed = new Bed(store, name, { project, user });
    await bed.platform.start();
    await bed.createRecord();
    return bed;
  }

  async createRecord(): Promise<void> {
    const { project, user } = this.dependencies;
    const { id } = await this.store.deployments.create({
      projectId: project.id,
      name: this.name,
      userId: user.id,
      stack: "default",
      deployer: "test",
      flavor: "test",
      deployerSettings: {},
    });
    this.id = id;
    this.platform.deploymentId = id;
  }

  /** The id of a snapshot that belongs to this deployment alone. */
  async snapshot(letter: string): Promise<string> {
    const id = `sha256:${Buffer.from(`${this.name}${letter}`).toString("hex").padEnd(64, "0")}`;
    const { project } = this.dependencies;
    const pipeline = await this.store.pipelines.ensure(project.id, "weather");
    await this.store.snapshots.ensure({
      id,
      projectId: project.id,
      pipelineId: pipeline.id,
      pipelineName: pipeline.name,
      name: null,
      description: null,
    });
    return id;
  }

  recordOrNull(): Promise<DeploymentRecord | null> {
    return this.store.deployments.find(this.dependencies.project.id, this.id);
  }

  async record(): Promise<DeploymentRecord> {
    const record = await this.recordOrNull();
    if (record === null) throw new Error(`The record of ${this.name} is gone.`);
    return record;
  }

  async operations(): Promise<OperationRecord[]> {
    return Array.fromAsync(operationsOf(this.store, this.id));
  }

  async inventory() {
    const entries = await this.store.inventory.list(this.id);
    return Object.fromEntries(entries.map(({ kind, state }) => [kind, state]));
  }

  call({
    timeoutSeconds = 30,
    signal,
  }: {
    timeoutSeconds?: number;
    signal?: AbortSignal;
  } = {}): Call {
    return { signal, timeoutSeconds, onProgress: ({ message }) => this.told.push(message) };
  }

  driver(dependencies: Partial<DriverDependencies> = {}): Driver {
    return createDriver({ ...this.dependencies, ...dependencies });
  }

  /** What `provision` is called with to bring the revision of a snapshot into service. */
  async provisionInput(
    letter: string,
    options: {
      readonly kind?: ProvisionInput["kind"];
      readonly call?: Call;
      readonly confirm?: ProvisionInput["confirm"];
      readonly deliver?: Desired["deliver"];
      readonly keepAuthKey?: Desired["keepAuthKey"];
    } = {},
  ): Promise<ProvisionInput> {
    const snapshotId = await this.snapshot(letter);
    return {
      record: await this.record(),
      kind: options.kind ?? "provision",
      created: false,
      snapshotId,
      call: options.call ?? this.call(),
      confirm: options.confirm,
      prepare: async (deployment) => ({
        ...this.desired(letter, snapshotId, deployment),
        ...(options.deliver === undefined ? {} : { deliver: options.deliver }),
        ...(options.keepAuthKey === undefined ? {} : { keepAuthKey: options.keepAuthKey }),
      }),
    };
  }

  desired(letter: string, snapshotId: string, deployment: DeploymentTarget): Desired {
    return {
      request: {
        deployment,
        revision: `revision-${letter}`,
        snapshot: { id: snapshotId, name: null, pipeline: "weather" },
        artefact: { kind: "bundle", directory: "/nowhere", runtime: "/nowhere" },
        settings: {},
        serving: servingSettingsSchema.parse({}),
        environment: {},
        secrets: {},
      },
      settings: [],
      notes: [],
      authKeyHash: `hash-${letter}`,
      overrides: { environment: { LETTER: letter } },
      deployerSettings: { settings: { letter }, serving: {} },
    };
  }

  async deploy(
    letter: string,
    options: Parameters<Bed["provisionInput"]>[1] = {},
  ): Promise<DeployResult> {
    return this.driver().provision(await this.provisionInput(letter, options));
  }

  async refresh(call: Call = this.call()): Promise<DeploymentRecord> {
    return this.driver().refresh(await this.record(), call);
  }

  async deprovision(call: Call = this.call()): Promise<DeploymentRecord> {
    return this.driver().deprovision(await this.record(), call);
  }

  /** Holds the deployment's lease; one that a killed process left behind is taken over. */
  async withLease<T>(work: (lease: Lease) => Promise<T>): Promise<T> {
    const { leases } = this.store;
    const holder = { host: "h", pid: 1, processStart: "1", purpose: "test", since: 0 };
    const attempt = await leases.acquire(`deployment:${this.id}`, holder, 60_000);
    const taken = attempt.acquired
      ? attempt
      : await leases.takeOver(attempt.current, holder, 60_000);
    if (!taken.acquired) throw new Error("The lease changed hands.");
    try {
      return await work(taken.lease);
    } finally {
      await leases.release(taken.lease);
    }
  }

  /** What a takeover does after the process that held the lease was killed. */
  holderDied(): Promise<void> {
    return this.withLease(async () => undefined);
  }
}
