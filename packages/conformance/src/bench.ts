import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "node:util";
import { type Client, connect } from "@millrace/control";
import type { Capabilities, Clock, Deployer, Flavor, JsonObject } from "@millrace/core";
import { z } from "zod";
import type { Fixtures, Requests } from "./fixtures.ts";
import type { FaultName, Faults, Harness, Platform, PlatformResource } from "./harness.ts";
import { Subject } from "./subject.ts";

/** What the fixtures' pipelines report. */
const reportSchema = z.object({
  version: z.number(),
  secret: z.string().nullable(),
  environment: z.string().nullable(),
});
const invocationSchema = z.object({ outputs: z.object({ report: reportSchema }) });
const healthSchema = z.object({ revision: z.string() });

const PATIENCE_MS = 15_000;
const POLL_MS = 10;
const STACK = "conformance";

export const systemClock: Clock = {
  now: Date.now,
  sleep: async (milliseconds, signal) => {
    signal.throwIfAborted();
    try {
      await sleep(milliseconds, undefined, { signal });
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
  },
};

/** Thrown when a check cannot be made because the harness lacks something. */
export class NotTestable extends Error {}

/** What one check works with: a platform, a state folder and a deployer of its own. */
export class Bench {
  readonly harness: Harness;
  readonly flavor: Flavor;
  readonly platform: Platform;
  readonly home: string;
  readonly fixtures: Fixtures;
  readonly #place: string;
  readonly #subjects: Subject[] = [];
  readonly #clients: Client[] = [];
  #requests: Promise<Requests> | null = null;
  #prepared = false;

  private constructor(
    place: string,
    platform: Platform,
    { harness, flavor, fixtures }: Pick<Bench, "harness" | "flavor" | "fixtures">,
  ) {
    this.#place = place;
    this.home = join(place, "home");
    this.platform = platform;
    this.harness = harness;
    this.flavor = flavor;
    this.fixtures = fixtures;
  }

  static async open(
    parts: Pick<Bench, "harness" | "flavor" | "fixtures">,
    needs: readonly FaultName[],
  ): Promise<Bench> {
    const place = await mkdtemp(join(tmpdir(), "millrace-conformance-"));
    const home = join(place, "home");
    try {
      await parts.fixtures.copyTo(home);
      return new Bench(place, await parts.harness.setup({ home, needs }), parts);
    } catch (error) {
      await rm(place, { recursive: true, force: true });
      throw error;
    }
  }

  get capabilities(): Capabilities {
    return this.flavor.capabilities;
  }

  get patienceMs(): number {
    return PATIENCE_MS * (this.harness.patience ?? 1);
  }

  /** @throws NotTestable when the harness has no such fault. */
  fault<Name extends FaultName>(name: Name): NonNullable<Faults[Name]> {
    const fault = this.platform.faults[name];
    if (fault === undefined) throw new NotTestable(`the harness has no fault "${name}"`);
    return fault;
  }

  /** Another deployer object, as another process would have it. */
  newDeployer(): Promise<Deployer> {
    const settings = this.settings({});
    return this.flavor.create({ name: "subject", settings, stateDirectory: this.home });
  }

  settings(over: JsonObject): unknown {
    return this.flavor.settings.parse({ ...this.platform.settings, ...over });
  }

  /** A deployment that the check drives by the calls of the contract. */
  async subject(
    identity: { readonly id?: string; readonly name?: string; readonly deployer?: Deployer } = {},
  ): Promise<Subject> {
    this.#requests ??= this.fixtures.requestsFor(this.flavor, this.platform.settings, this.home);
    const subject = new Subject(this, await this.#requests, {
      id: identity.id ?? crypto.randomUUID(),
      name: identity.name ?? "weather",
      deployer: identity.deployer ?? (await this.newDeployer()),
    });
    this.#subjects.push(subject);
    return subject;
  }

  /** An operator with control. All operators of a check share one state folder. */
  async operator(flavor: Flavor = this.flavor): Promise<Client> {
    const client = await connect({
      directory: this.#place,
      home: this.home,
      user: "operator",
      flavors: [flavor],
      timing: this.timing,
    });
    this.#clients.push(client);
    if (!this.#prepared) {
      this.#prepared = true;
      await client.deployers.register(STACK, this.flavor.name, {
        settings: this.platform.settings,
      });
      await client.stacks.register(STACK, STACK);
      await client.stacks.set(STACK);
    }
    return client;
  }

  list(): Promise<readonly PlatformResource[]> {
    return this.platform.list();
  }

  /** Waits until the value is as wanted and returns it. */
  async until<T>(
    what: string,
    read: () => Promise<T>,
    isWanted: (value: T) => boolean,
  ): Promise<T> {
    const deadline = Date.now() + this.patienceMs;
    for (;;) {
      const value = await read();
      if (isWanted(value)) return value;
      if (Date.now() > deadline)
        assert.fail(`waited in vain until ${what}; last was ${show(value)}`);
      await sleep(POLL_MS);
    }
  }

  /** What `POST /invoke` of a service answers. */
  async invoke(
    url: string | null,
    parameters: JsonObject = {},
  ): Promise<z.output<typeof reportSchema>> {
    const { status, text } = await this.post(url, parameters);
    assert.equal(status, 200, `POST /invoke answered ${status}: ${text}`);
    return invocationSchema.parse(JSON.parse(text)).outputs.report;
  }

  /** The same for an invocation that may fail. */
  async post(
    url: string | null,
    parameters: JsonObject,
  ): Promise<{ readonly status: number; readonly text: string }> {
    assert.ok(url !== null, "the deployment has no URL");
    const response = await fetch(at(url, "invoke"), {
      method: "POST",
      headers: { "Content-Type": "application/json", Connection: "close" },
      body: JSON.stringify({ parameters }),
    });
    return { status: response.status, text: await response.text() };
  }

  /** The revision that the service itself reports; null when none answers. */
  async servedRevision(url: string | null): Promise<string | null> {
    if (url === null) return null;
    try {
      const response = await fetch(at(url, "health/ready"), {
        headers: { Connection: "close" },
        signal: AbortSignal.timeout(2000),
      });
      const { revision } = healthSchema.parse(await response.json());
      return response.status === 200 ? revision : null;
    } catch {
      // Whatever the reason, nobody serves there.
      return null;
    }
  }

  /** When the process that serves there began, as it says itself; null when nobody says so. */
  async processStart(url: string | null): Promise<string | null> {
    if (url === null) return null;
    try {
      const response = await fetch(at(url, "metrics"), {
        headers: { Connection: "close" },
        signal: AbortSignal.timeout(2000),
      });
      return /^process_start_time_seconds (\S+)$/m.exec(await response.text())?.[1] ?? null;
    } catch {
      // Whatever the reason, nobody serves there.
      return null;
    }
  }

  get timing(): { readonly pollMs: number; readonly pollMaxMs: number } {
    return { pollMs: 15, pollMaxMs: 250 * (this.harness.patience ?? 1) };
  }

  /** Where operators of this check look for their configuration. */
  get directory(): string {
    return this.#place;
  }

  /** Removes what the check made. @throws AssertionError when something stays behind. */
  async clean(): Promise<void> {
    await this.platform.restore();
    for (const client of this.#clients.slice(0, 1)) {
      const { items } = await client.deployments.list();
      for (const { id } of items) await client.deployments.delete(id, { overtake: true });
    }
    for (const subject of this.#subjects) await subject.bringDown();
    await this.until(
      "nothing is left on the platform after deprovision",
      () => this.list(),
      (resources) => resources.length === 0,
    );
  }

  async close(): Promise<void> {
    for (const client of this.#clients) await client.close();
    await this.platform.close();
    await rm(this.#place, { recursive: true, force: true });
  }
}

export function at(url: string, route: string): URL {
  return new URL(route, url.endsWith("/") ? url : `${url}/`);
}

export function show(value: unknown): string {
  return inspect(value, { depth: 6, breakLength: 120 });
}
