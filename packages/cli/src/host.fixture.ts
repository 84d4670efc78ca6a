import { Readable } from "node:stream";
import type { Client, DeploymentDetails, DeploymentPlan } from "@millrace/control";
import type {
  DeploymentRecord,
  JsonSchema,
  SnapshotManifest,
  SnapshotRecord,
} from "@millrace/core";
import { main } from "./main.ts";
import type { Screen, Terminal } from "./terminal.ts";

/** The calls that a test expects; any other one fails it. */
export type Calls = {
  readonly [K in keyof Client]?: Client[K] extends (...args: never[]) => unknown
    ? Client[K]
    : Partial<Client[K]>;
};

interface Setting {
  readonly calls?: Calls;
  /** What standard input holds; answers to questions, one per line, with `answers`. */
  readonly stdin?: string;
  /** Makes standard input a terminal that gives these answers. */
  readonly answers?: readonly string[];
  readonly directory?: string;
  /** Called with what stands for Ctrl-C. */
  readonly onStart?: (interrupt: () => void) => void;
}

interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Codes with which the process was told to end at once. */
  readonly exits: readonly number[];
}

/** Runs one command line in this process against the given calls. */
export async function runCommand(
  argv: readonly string[],
  setting: Setting = {},
): Promise<Finished> {
  const stdout = memoryScreen();
  const stderr = memoryScreen();
  const answers = [...(setting.answers ?? [])];
  const handlers = new Set<() => void>();
  const exits: number[] = [];
  const terminal: Terminal = {
    stdout: stdout.screen,
    stderr: stderr.screen,
    stdin: {
      isTerminal: setting.answers !== undefined,
      readAll: async () => setting.stdin ?? "",
      bytes: Readable.from([Buffer.from(setting.stdin ?? "")]),
      ask: async (question) => {
        stderr.screen.write(question);
        return answers.shift() ?? "";
      },
    },
    environment: {},
    directory: setting.directory ?? "/nowhere",
    onInterrupt(handler) {
      handlers.add(handler);
      return () => handlers.delete(handler);
    },
    exit: (code) => exits.push(code),
  };
  setting.onStart?.(() => {
    for (const handler of handlers) handler();
  });
  const code = await main(argv, {
    terminal,
    version: "1.2.3",
    connect: async () => clientOf(setting.calls ?? {}),
  });
  return { code, stdout: stdout.text(), stderr: stderr.text(), exits };
}

function memoryScreen(): { readonly screen: Screen; readonly text: () => string } {
  let written = "";
  const screen: Screen = {
    isTerminal: false,
    columns: undefined,
    closed: new AbortController().signal,
    write: (piece) => {
      written += piece;
    },
  };
  return { screen, text: () => written };
}

function clientOf(calls: Calls): Client {
  const strict = <T extends object>(part: T, path: string): T =>
    new Proxy(part, {
      get(target, key) {
        const member: unknown = Reflect.get(target, key);
        if (member === undefined && typeof key === "string" && key !== "then") {
          throw new Error(`The test did not expect client.${path}${key}.`);
        }
        return typeof member === "object" && member !== null
          ? strict(member, `${path}${String(key)}.`)
          : member;
      },
    });
  // The proxy fails the test at the first call that is missing, so the rest of the interface need not be there.
  return strict({ close: async () => {}, ...calls }, "") as Client;
}

export const SNAPSHOT_ID = `sha256:${"3f2a9c81".repeat(8)}`;

export function deploymentRecord(changes: Partial<DeploymentRecord> = {}): DeploymentRecord {
  return {
    id: "0190a6e2-7b3c-7d4e-8f5a-6b7c8d9e0f1a",
    projectId: "project",
    name: "weather",
    userId: "user",
    userName: "ada",
    stack: "default",
    deployer: "default",
    flavor: "local",
    deployerSettings: {},
    snapshotId: SNAPSHOT_ID,
    revision: "r1",
    status: "RUNNING",
    statusReason: null,
    observedAt: Date.now(),
    url: "http://127.0.0.1:8000",
    authKeyHash: null,
    metadata: {},
    createdAt: Date.now(),
    updatedAt: Date.now(),
    ...changes,
  };
}

export const snapshotRecord: SnapshotRecord = {
  id: SNAPSHOT_ID,
  projectId: "project",
  pipelineId: "pipeline",
  pipelineName: "weather",
  name: null,
  description: null,
  createdAt: 0,
};

export const inputSchema: JsonSchema = {
  type: "object",
  properties: {
    city: { type: "string", description: "Name of the city" },
    days: { type: "integer", minimum: 1, default: 3 },
    fast: { type: "boolean" },
    tags: { type: "array", items: { type: "string" } },
    flags: {
      type: "object",
      properties: { x: { type: "boolean" }, level: { type: "number" } },
      additionalProperties: false,
    },
  },
  required: ["city"],
  additionalProperties: false,
};

export const manifest: SnapshotManifest = {
  version: 1,
  pipeline: {
    name: "weather",
    description: null,
    entry: "pipeline.mjs",
    export: "default",
    graph: { steps: [], outputs: {} },
    inputSchema,
    outputSchema: {
      type: "object",
      properties: { advice: { type: "string" } },
      required: ["advice"],
    },
    secrets: [],
  },
  settings: { serving: {}, deployer: {} },
  files: {},
  externals: {},
  node: "22.18",
};

export function details(changes: Partial<DeploymentDetails> = {}): DeploymentDetails {
  return {
    deployment: deploymentRecord(),
    snapshot: snapshotRecord,
    manifest,
    inventory: [],
    lastOperation: null,
    previousSnapshotId: `sha256:${"0".repeat(64)}`,
    overrides: { settings: {}, serving: {}, environment: {} },
    hasAuthKey: false,
    authKey: null,
    ...changes,
  };
}

export function deploymentPlan(changes: Partial<DeploymentPlan> = {}): DeploymentPlan {
  return {
    action: "update",
    changes: [
      {
        action: "update",
        kind: "process",
        name: "millrace-weather",
        fields: [{ field: "port", before: 8000, after: 8080 }],
      },
    ],
    interrupts: false,
    deployment: "weather",
    exists: true,
    snapshot: { from: SNAPSHOT_ID, to: SNAPSHOT_ID },
    picksUp: null,
    notes: [],
    settings: [],
    ...changes,
  };
}
