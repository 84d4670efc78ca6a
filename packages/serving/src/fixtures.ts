import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import {
  canonicalJson,
  MANIFEST_VERSION,
  type Pipeline,
  type ServiceConfig,
  type ServingSettingsInput,
  serviceConfigSchema,
} from "@millrace/core";

/** For tests: what a service is started with. */
export interface Fixture {
  /** The snapshot's folder. */
  readonly directory: string;
  readonly config: ServiceConfig;
  readonly variables: Readonly<Record<string, string>>;
}

export interface FixtureOptions {
  readonly serving?: ServingSettingsInput;
  readonly authKey?: string;
  readonly store?: ServiceConfig["store"];
  readonly revision?: string;
}

/**
 * Writes a snapshot's folder for a pipeline that is exported by a module, and the configuration that goes with it.
 * @param module URL of the built module.
 */
export async function makeFixture(
  pipeline: Pipeline,
  module: string,
  name: string,
  options: FixtureOptions = {},
): Promise<Fixture> {
  const compiled = pipeline.compile();
  const manifest = {
    version: MANIFEST_VERSION,
    pipeline: {
      name: compiled.name,
      description: compiled.description ?? null,
      entry: "entry.mjs",
      export: "default",
      graph: compiled.graph,
      inputSchema: compiled.inputSchema,
      outputSchema: compiled.outputSchema,
      secrets: compiled.secrets,
    },
    settings: { serving: {}, deployer: {} },
    files: {},
    externals: {},
    node: "22.18.0",
  };
  const directory = await mkdtemp(join(tmpdir(), "millrace-serving-"));
  await writeFile(join(directory, "manifest.json"), canonicalJson(manifest));
  await writeFile(
    join(directory, "entry.mjs"),
    `export { ${name} as default } from ${JSON.stringify(module)};\n`,
  );
  const config = serviceConfigSchema.parse({
    deployment: { id: "deployment-1", name: "fixture", project: "default", projectId: "project-1" },
    snapshot: { id: `sha256:${sha256(canonicalJson(manifest))}`, name: "fixture-snapshot" },
    revision: options.revision ?? "revision-1",
    serving: options.serving ?? {},
    authKeyHash: options.authKey === undefined ? null : sha256(options.authKey),
    store: options.store ?? null,
  });
  return { directory, config, variables: { MILLRACE_CONFIG: JSON.stringify(config) } };
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** A service in a process of its own. */
export interface TestService {
  readonly url: string;
  readonly process: ChildProcess;
  /** Everything that it logged so far, a parsed line each. */
  readonly log: readonly Readonly<Record<string, unknown>>[];
  readonly stderr: () => string;
  readonly exited: Promise<number | null>;
  invoke(parameters: unknown, init?: RequestInit): Promise<Response>;
  /** Ends it, if it still runs. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

export const runtime: string = fileURLToPath(import.meta.resolve("@millrace/serving/runtime"));

/** Starts the runtime as a process; its environment is the test's and the given variables. */
export function spawnRuntime(
  args: readonly string[],
  variables: Readonly<Record<string, string>>,
): ChildProcess & { stdout: Readable; stderr: Readable; stdin: Writable } {
  return spawn(process.execPath, [runtime, ...args], {
    env: { ...process.env, ...variables },
    stdio: ["pipe", "pipe", "pipe"],
  });
}

/** Starts a service and waits until it is ready. */
export async function startService(
  fixture: Fixture,
  variables: Readonly<Record<string, string>> = {},
): Promise<TestService> {
  const child = spawnRuntime(["serve", fixture.directory], { ...fixture.variables, ...variables });
  const log: Readonly<Record<string, unknown>>[] = [];
  const ready = Promise.withResolvers<string>();
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  createInterface({ input: child.stdout }).on("line", (line) => {
    const entry: Record<string, unknown> = JSON.parse(line);
    log.push(entry);
    if (entry["msg"] === "The service is ready.") ready.resolve(String(entry["url"]));
  });
  let stderr = "";
  child.stderr.on("data", (text) => {
    stderr += text;
  });
  exited.then((code) => ready.reject(new Error(`the service ended with ${code}: ${stderr}`)));
  const url = await ready.promise;
  return {
    url,
    process: child,
    log,
    stderr: () => stderr,
    exited,
    invoke: (parameters, init) => invoke(url, { parameters }, init),
    stop: (signal = "SIGKILL") => {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      return exited;
    },
  };
}

/** A request of `/invoke` as it is written to a connection. */
export function requestText(body: unknown, ...headers: readonly string[]): string {
  const text = JSON.stringify(body);
  return [
    "POST /invoke HTTP/1.1",
    "Host: a",
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(text)}`,
    ...headers,
    "",
    text,
  ].join("\r\n");
}

/** Sends bytes as they are, others later, and reads what comes back until the other side closes. */
export function raw(url: string, text: string, later?: Promise<string>): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(Number(port), hostname, () => socket.write(text));
    later?.then((more) => socket.write(more));
    socket.on("data", (chunk) => {
      answer += chunk;
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(answer));
  });
}

/** Posts a body to a service's `/invoke`. */
export function invoke(url: string, body: unknown, init: RequestInit = {}): Promise<Response> {
  return fetch(`${url}/invoke`, {
    method: "POST",
    body: JSON.stringify(body),
    ...init,
    headers: { "content-type": "application/json", ...init.headers },
  });
}
