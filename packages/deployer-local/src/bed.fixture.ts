import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import {
  type Deployer,
  type DeployerContext,
  type DeploymentRequest,
  type DeploymentTarget,
  type JsonValue,
  type LogLine,
  type LogQuery,
  type Observation,
  type Plugin,
  type ResourceKey,
  type Secret,
  servingSettingsSchema,
} from "@millrace/core";
import { startTimeOf } from "./process-identity.ts";
import { type LocalSettings, settingsSchema } from "./settings.ts";

export const FAKE_RUNTIME = fileURLToPath(new URL("../fixtures/fake-runtime.js", import.meta.url));

/** Bound of every wait in a test. */
const PATIENCE_MS = 20_000;

export interface Wanted {
  readonly revision?: string;
  readonly environment?: Record<string, string>;
  readonly secrets?: Record<string, Secret>;
  readonly settings?: Partial<LocalSettings>;
  readonly runtime?: string;
}

export interface JournalEntry extends ResourceKey {
  readonly call: "intend" | "present" | "gone";
}

/** A deployer with one deployment in a state directory of its own. */
export class TestBed {
  readonly stateDirectory: string;
  readonly directory: string;
  readonly journal: JournalEntry[] = [];
  readonly messages: string[] = [];
  readonly deployer: Deployer;
  metadata: Readonly<Record<string, JsonValue>> = {};
  readonly #id = crypto.randomUUID();

  private constructor(stateDirectory: string, deployer: Deployer) {
    this.stateDirectory = stateDirectory;
    this.directory = mkdtempSync(join(tmpdir(), "millrace-snapshot-"));
    this.deployer = deployer;
  }

  /** Makes the deployer from the plugin as it is built, since supervisors run what is built too. */
  static async open(plugin: Plugin): Promise<TestBed> {
    const [flavor] = plugin.flavors;
    if (flavor === undefined) throw new Error("the plugin has no flavor");
    const stateDirectory = mkdtempSync(join(tmpdir(), "millrace-local-"));
    const settings = settingsSchema.parse({});
    const deployer = await flavor.create({ name: "local", settings, stateDirectory });
    return new TestBed(stateDirectory, deployer);
  }

  get target(): DeploymentTarget {
    return {
      id: this.#id,
      name: "weather",
      project: "default",
      inventory: [],
      metadata: this.metadata,
    };
  }

  get folder(): string {
    return join(this.stateDirectory, "deployments", this.#id);
  }

  context(signal: AbortSignal = AbortSignal.timeout(PATIENCE_MS)): DeployerContext {
    const write =
      (call: JournalEntry["call"]) =>
      async ({ kind, name }: ResourceKey): Promise<void> => {
        this.journal.push({ call, kind, name });
      };
    return {
      signal,
      clock: {
        now: Date.now,
        sleep: async (milliseconds, abort) => {
          await sleep(milliseconds, undefined, { signal: abort });
        },
      },
      journal: { intend: write("intend"), present: write("present"), gone: write("gone") },
      progress: (message) => this.messages.push(message),
    };
  }

  request(wanted: Wanted = {}): DeploymentRequest<LocalSettings> {
    const { revision = "1", environment = {}, secrets = {}, settings = {} } = wanted;
    return {
      deployment: this.target,
      revision,
      snapshot: { id: `snapshot-${revision}`, name: null, pipeline: "weather" },
      artefact: {
        kind: "bundle",
        directory: this.directory,
        runtime: wanted.runtime ?? FAKE_RUNTIME,
      },
      settings: settingsSchema.parse({ portRange: [20_000, 29_999], ...settings }),
      serving: servingSettingsSchema.parse({ drainSeconds: 10 }),
      environment: { VERSION: revision, ...environment },
      secrets,
    };
  }

  /** Provisions and waits until the roll-out has ended. */
  async provision(wanted: Wanted = {}): Promise<Observation> {
    await this.deployer.provision(this.request(wanted), this.context());
    const revision = wanted.revision ?? "1";
    return this.until(
      ({ rollout }) => rollout?.revision === revision && rollout.phase !== "progressing",
    );
  }

  async inspect(): Promise<Observation> {
    const observation = await this.deployer.inspect(this.target, this.context());
    this.metadata = observation.metadata;
    return observation;
  }

  /** Inspects until the observation is as wanted. */
  async until(isWanted: (observation: Observation) => boolean): Promise<Observation> {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    let last: Observation | null = null;
    while (!signal.aborted) {
      last = await this.inspect();
      if (isWanted(last)) return last;
      await sleep(10);
    }
    throw new Error(`waited in vain; last was ${JSON.stringify(last)}`);
  }

  async deprovision(): Promise<Observation> {
    const observation = await this.deployer.deprovision(this.target, this.context());
    this.metadata = observation.metadata;
    return observation;
  }

  async logs(query: LogQuery = {}): Promise<LogLine[]> {
    return Array.fromAsync(this.deployer.logs(this.target, query, this.context()));
  }

  /** The supervisors and workers of this bed, by their command lines. */
  processes(): { pid: number; command: string }[] {
    return execFileSync("ps", ["-eo", "pid=,stat=,args="], { encoding: "utf8" })
      .split("\n")
      .flatMap((line) => {
        const [, pid = "", state = "", command = ""] = /^\s*(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? [];
        const isOurs = command.includes(this.stateDirectory) || command.includes(this.directory);
        return isOurs && !state.startsWith("Z") ? [{ pid: Number(pid), command }] : [];
      });
  }

  async close(): Promise<void> {
    if (existsSync(this.folder)) await this.deprovision();
    rmSync(this.stateDirectory, { recursive: true, force: true });
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Waits until something is so. */
export async function eventually(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  while (!(await isSo())) {
    if (signal.aborted) throw new Error("waited in vain");
    await sleep(10);
  }
}

export function supervisorPid({ metadata }: Observation): number {
  if (typeof metadata["supervisor"] === "number") return metadata["supervisor"];
  throw new Error("the observation names no supervisor");
}

/** Whether the process is there and no zombie. */
export function isRunning(pid: number): boolean {
  return startTimeOf(pid) !== null;
}
