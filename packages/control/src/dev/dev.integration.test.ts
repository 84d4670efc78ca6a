import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import {
  canonicalJson,
  isPipeline,
  type JsonObject,
  MANIFEST_FILE,
  type ServiceConfig,
  type SnapshotManifest,
  servingSettingsSchema,
} from "@millrace/core";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { DevEvent } from "../client.ts";
import { type DevParts, type DevVersion, serveInForeground } from "./dev.ts";

const runtime = createRequire(import.meta.url).resolve("@millrace/serving/runtime");

let folder = "";
let stop = new AbortController();
let events: DevEvent[] = [];
let notify = (): void => {};
let finished: Promise<void> = Promise.resolve();

beforeEach(async () => {
  folder = await mkdtemp(join(import.meta.dirname, "../../.dev-test-"));
  stop = new AbortController();
  events = [];
});

afterEach(async () => {
  stop.abort();
  await finished;
  await rm(folder, { recursive: true });
});

test("a change of the source takes over, and a broken one leaves the one before serving", async () => {
  await writeSource("first");
  const { url } = await start();
  expect(await call(url)).toEqual({ word: "first" });

  await writeSource("second");
  await next("serving");
  await expect.poll(() => call(url)).toEqual({ word: "second" });

  await writeFile(join(folder, "pipeline.mjs"), "this is no module");
  expect(await next("failed")).toMatchObject({ serving: true });
  expect(await call(url)).toEqual({ word: "second" });

  await writeSource("third");
  await next("serving");
  await expect.poll(() => call(url)).toEqual({ word: "third" });
});

test("a version that cannot start leaves the one before serving", async () => {
  await writeSource("first");
  const { url } = await start();
  await writeSource("second", "onInit: () => { throw new Error('no database'); },");
  const failed = await next("failed");
  expect(failed).toMatchObject({ serving: true });
  expect(failed.error.message).toContain("no database");
  expect(await call(url)).toEqual({ word: "first" });
});

test("requests that are under way while versions change are all answered", async () => {
  await writeSource("v0");
  const { url } = await start();
  let going = true;
  const answers: unknown[] = [];
  const callers = Array.from({ length: 4 }, async () => {
    while (going) answers.push(await call(url));
  });
  for (const word of ["v1", "v2", "v3"]) {
    await writeSource(word);
    await next("serving");
  }
  going = false;
  await Promise.all(callers);
  expect(answers.length).toBeGreaterThan(0);
  expect(
    answers.filter((answer) => !/^v\d$/.test(String(Reflect.get(Object(answer), "word")))),
  ).toEqual([]);
});

test("a service that ends by itself is told, and comes back with the next change", async () => {
  await writeSource("first", "", "if (word === 'die') process.exit(3);");
  const { url } = await start();
  await expect(call(url, { word: "die" })).rejects.toThrow();
  expect(await next("failed")).toMatchObject({ serving: false, error: { code: "SERVICE_ENDED" } });
  await writeSource("second");
  await next("serving");
  expect(await call(url)).toEqual({ word: "second" });
});

test("a port that is in use is refused", async () => {
  await writeSource("first");
  const { url } = await start();
  const again = serveInForeground(parts(), {
    signal: stop.signal,
    port: Number(new URL(url).port),
  });
  await expect(again).rejects.toMatchObject({ code: "PORT_IN_USE" });
});

async function start(): Promise<{ readonly url: string }> {
  finished = serveInForeground(parts(), {
    signal: stop.signal,
    onEvent: (event) => {
      events.push(event);
      notify();
    },
  });
  return next("serving");
}

/** The next event of a type; fails when it does not come in time. */
async function next<T extends DevEvent["type"]>(type: T): Promise<Extract<DevEvent, { type: T }>> {
  const signal = AbortSignal.timeout(20_000);
  for (;;) {
    const index = events.findIndex((event) => event.type === type);
    const event = events.splice(0, index + 1).at(-1);
    if (event !== undefined && isOfType(event, type)) return event;
    await new Promise<void>((resolve, reject) => {
      notify = resolve;
      signal.addEventListener(
        "abort",
        () => reject(new Error(`no event "${type}" came: ${JSON.stringify(events)}`)),
        { once: true },
      );
    });
  }
}

function isOfType<T extends DevEvent["type"]>(
  event: DevEvent,
  type: T,
): event is Extract<DevEvent, { type: T }> {
  return event.type === type;
}

async function call(url: string, parameters: JsonObject = {}): Promise<unknown> {
  const response = await fetch(`${url}/invoke`, {
    method: "POST",
    headers: { "content-type": "application/json", connection: "close" },
    body: JSON.stringify({ parameters }),
  });
  const body: { outputs?: unknown } = JSON.parse(await response.text());
  return body.outputs;
}

async function writeSource(word: string, options = "", inside = ""): Promise<void> {
  await writeFile(
    join(folder, "pipeline.mjs"),
    `import { definePipeline, defineStep } from "@millrace/core";
import { z } from "zod";
const say = defineStep({ name: "say", input: z.object({ word: z.string() }), output: z.string(), run: ({ word }) => { ${inside} return word; } });
export default definePipeline({ name: "say", input: z.object({ word: z.string().default("${word}") }), ${options} build: ({ word }) => ({ word: say({ word }) }) });
`,
  );
}

function parts(): DevParts {
  return {
    runtime,
    entry: join(folder, "pipeline.mjs"),
    build,
    environment: async (version) => ({
      variables: { MILLRACE_CONFIG: JSON.stringify(config(version)) },
      release: async () => {},
    }),
  };
}

/** Makes a snapshot of a module that needs no bundling. */
async function build(): Promise<DevVersion> {
  const source = await readFile(join(folder, "pipeline.mjs"), "utf8");
  const digest = sha256(source);
  const directory = join(folder, `.snapshot-${digest.slice(7, 19)}`);
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, "pipeline.mjs"), source);
  const module: { default?: unknown } = await import(
    pathToFileURL(join(directory, "pipeline.mjs")).href
  );
  if (!isPipeline(module.default)) throw new TypeError("no pipeline");
  const compiled = module.default.compile();
  const manifest: SnapshotManifest = {
    version: 1,
    pipeline: {
      name: compiled.name,
      description: null,
      entry: "pipeline.mjs",
      export: "default",
      graph: compiled.graph,
      inputSchema: compiled.inputSchema,
      outputSchema: compiled.outputSchema,
      secrets: [],
    },
    settings: { serving: {}, deployer: {} },
    files: { "pipeline.mjs": { digest, size: source.length } },
    externals: {},
    node: "22.18.0",
  };
  await writeFile(join(directory, MANIFEST_FILE), canonicalJson(manifest));
  return {
    snapshot: {
      id: sha256(canonicalJson(manifest)),
      projectId: "project",
      pipelineId: "pipeline",
      pipelineName: compiled.name,
      name: null,
      description: null,
      createdAt: 0,
    },
    manifest,
    directory,
    sources: [join(folder, "pipeline.mjs")],
  };
}

function config({ snapshot }: DevVersion): ServiceConfig {
  const {
    authKey: _,
    generateAuthKey: __,
    ...serving
  } = servingSettingsSchema.parse({ tracking: { mode: "off" } });
  return {
    deployment: { id: "dev", name: "dev", project: "default", projectId: "project" },
    snapshot: { id: snapshot.id, name: null },
    revision: "dev",
    serving,
    authKeyHash: null,
    store: null,
  };
}

function sha256(text: string): string {
  return `sha256:${createHash("sha256").update(text).digest("hex")}`;
}
