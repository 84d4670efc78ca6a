import { existsSync } from "node:fs";
import { cp, mkdir, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Client, connect, type ProgressEvent } from "@millrace/control";
import type { MillraceError } from "@millrace/core";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { makeProject, packageFiles, pipelineModule } from "./project.fixture.ts";

async function open(files: Readonly<Record<string, string>>): Promise<{
  readonly client: Client;
  readonly root: string;
  readonly home: string;
  readonly pipeline: string;
}> {
  const { root, source } = await makeProject(files);
  const home = join(root, ".millrace");
  const client = await connect({ directory: root, home });
  onTestFinished(() => client.close());
  return { client, root, home, pipeline: source().file };
}

async function failureOf(text: string): Promise<MillraceError> {
  const { client, pipeline, home } = await open({ "pipeline.ts": text });
  const error: MillraceError = await client.snapshots.create(pipeline).then(
    () => expect.fail("it was made"),
    (thrown) => thrown,
  );
  expect((await client.snapshots.list()).items).toEqual([]);
  expect(await readdir(join(home, "artifacts", "default", "staging")).catch(() => [])).toEqual([]);
  return error;
}

const DEFINE =
  'import { definePipeline, defineStep } from "@millrace/core";\nimport { z } from "zod";\n';
const build = (body: string): string =>
  `${DEFINE}export default definePipeline({ name: "p", input: z.object({}), build: ${body} });`;

describe("making a snapshot", () => {
  it("records it with its graph, schemas and digests, under the digest of all that", async () => {
    const { client, pipeline } = await open({ "pipeline.ts": pipelineModule("return 1;") });
    const made = await client.snapshots.create(pipeline, { name: "first", description: "mine" });
    expect(made).toMatchObject({
      id: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
      pipelineName: "sample",
      name: "first",
      description: "mine",
    });
    const { manifest } = await client.snapshots.get("first");
    expect(manifest.pipeline).toMatchObject({
      name: "sample",
      inputSchema: { type: "object" },
      graph: { steps: [{ id: "work" }] },
    });
    expect(Object.keys(manifest.files)).toContain(manifest.pipeline.entry);
  });

  it("says what the same content was called before", async () => {
    const { client, pipeline } = await open({ "pipeline.ts": pipelineModule("return 1;") });
    const before = async (name?: string) =>
      (await client.snapshots.create(pipeline, name === undefined ? {} : { name })).nameBefore;
    expect(await before()).toBeNull();
    expect(await before("v1")).toBeNull();
    expect(await before()).toBeNull();
    expect(await before("v2")).toBe("v1");
    expect(await before("v2")).toBeNull();
  });

  it("gives the same id in another folder and another state folder", async () => {
    const files = {
      "pipeline.ts": pipelineModule(
        "return data;",
        'import data from "./data.json" with { type: "json" };',
      ),
      "data.json": "[1]",
    };
    const [one, other] = [await open(files), await open(files)];
    const ids = await Promise.all(
      [one, other].map(
        async ({ client, pipeline }) => (await client.snapshots.create(pipeline)).id,
      ),
    );
    expect(ids[1]).toBe(ids[0]);
    const moved = join(other.root, "deeper", "place");
    await mkdir(moved, { recursive: true });
    for (const name of ["pipeline.ts", "data.json", "package.json", "node_modules"])
      await cp(join(one.root, name), join(moved, name), {
        recursive: true,
        verbatimSymlinks: true,
      });
    expect((await other.client.snapshots.create(join(moved, "pipeline.ts"))).id).toBe(ids[0]);
  });

  it("does not bundle what has not changed, and does when a dependency has", async () => {
    const { client, pipeline, root } = await open({
      "pipeline.ts": pipelineModule("return value;", 'import { value } from "./value.ts";'),
      "value.ts": "export const value = 1;",
    });
    // What was written in this very moment would not be taken for known.
    for (const name of ["pipeline.ts", "value.ts", "package.json"])
      await utimes(join(root, name), 1, 1);
    const create = async () => {
      const told: string[] = [];
      const onProgress = ({ message }: ProgressEvent): void => void told.push(message);
      const { id } = await client.snapshots.create(pipeline, { onProgress });
      return { id, bundled: told.some((message) => message.startsWith("Bundling")) };
    };
    const first = await create();
    expect(await create()).toEqual({ id: first.id, bundled: false });
    await writeFile(join(root, "value.ts"), "export const value = 2;");
    const changed = await create();
    expect(changed).toMatchObject({ bundled: true });
    expect(changed.id).not.toBe(first.id);
  });

  it("makes it again when its files were damaged or deleted", async () => {
    const { client, pipeline, home } = await open({ "pipeline.ts": pipelineModule("return 1;") });
    const { id } = await client.snapshots.create(pipeline);
    const folder = join(home, "artifacts", "default", "snapshots", id.slice("sha256:".length));
    const before = await readFile(join(folder, "pipeline.mjs"), "utf8");
    await writeFile(join(folder, "pipeline.mjs"), "damaged");
    expect((await client.snapshots.create(pipeline)).id).toBe(id);
    expect(await readFile(join(folder, "pipeline.mjs"), "utf8")).toBe(before);
    await rm(folder, { recursive: true });
    expect((await client.snapshots.create(pipeline)).id).toBe(id);
    expect(await readFile(join(folder, "pipeline.mjs"), "utf8")).toBe(before);
  });

  it("is deleted in its own project alone", async () => {
    const { client, pipeline, root, home } = await open({
      "pipeline.ts": pipelineModule("return 1;"),
      "other.json": '{ "project": "other" }',
    });
    const other = await connect({ directory: root, home, configFile: "other.json" });
    onTestFinished(() => other.close());
    const { id } = await client.snapshots.create(pipeline);
    expect((await other.snapshots.create(pipeline)).id).toBe(id);
    await client.snapshots.delete(id);
    await expect(client.snapshots.get(id)).rejects.toMatchObject({ code: "SNAPSHOT_NOT_FOUND" });
    expect((await other.run({ snapshot: id }, {})).status).toBe("completed");
  });

  it("runs as a batch from the snapshot alone: packages, assets and lazy modules go along", async () => {
    const { client, pipeline, root } = await open({
      ...packageFiles(
        "native",
        { version: "3.1.0", gypfile: true, dependencies: { helper: "1" } },
        {
          "index.js":
            "module.exports = require('helper') + require('node:fs').readFileSync(__dirname + '/beside.txt', 'utf8');",
          "beside.txt": "beside",
        },
      ),
      ...packageFiles("helper", {}, { "index.js": "module.exports = 'helped ';" }),
      "pipeline.ts": pipelineModule(
        "return [native, readFileSync(table, 'utf8'), (await import('./lazy.ts')).lazy];",
        'import { readFileSync } from "node:fs";\nimport native from "native";\nconst table = new URL("./table.csv", import.meta.url);',
      ),
      "table.csv": "a,b",
      "lazy.ts": "export const lazy: string = 'lazily';",
    });
    const snapshot = await client.snapshots.create(pipeline);
    const { manifest } = await client.snapshots.get(snapshot.id);
    expect(manifest.externals).toEqual({ native: "3.1.0" });
    for (const name of ["pipeline.ts", "table.csv", "lazy.ts", "node_modules"])
      await rm(join(root, name), { recursive: true });
    const run = await client.run({ snapshot: snapshot.id }, {});
    expect(run).toMatchObject({
      status: "completed",
      outputs: { out: ["helped beside", "a,b", "lazily"] },
    });
  });

  it("says where a batch run that failed is to be seen", async () => {
    const { client, pipeline } = await open({
      "pipeline.ts": pipelineModule('throw new Error("flaky upstream");'),
    });
    const failed = client.run(pipeline, {}, { runName: "nightly" });
    await expect(failed).rejects.toMatchObject({
      code: "STEP_FAILED",
      action: expect.stringMatching(
        /depends on\. See run nightly: npx millrace run show [0-9a-f-]{36}$/,
      ),
      details: { runId: expect.any(String), attempts: 1 },
    });
  });

  it("hands on what the pipeline prints in a batch run, also when it ends its process", async () => {
    const printed: string[] = [];
    const onLog = ({ text }: { readonly text: string }) => void printed.push(text);
    const { client, pipeline } = await open({
      "pipeline.ts": pipelineModule('process.stdout.write("one\\ntwo"); return 1;'),
    });
    const { outputs } = await client.run(pipeline, {}, { onLog });
    expect({ outputs, printed }).toEqual({ outputs: { out: 1 }, printed: ["one", "two"] });
    const { client: other, pipeline: ends } = await open({
      "pipeline.ts": pipelineModule('console.log("last words"); process.exit(3);'),
    });
    await expect(other.run(ends, {})).rejects.toMatchObject({
      code: "RUN_PROCESS_DIED",
      details: { logs: expect.arrayContaining(["last words"]) },
    });
  });

  it("takes an export by name", async () => {
    const { client, pipeline } = await open({
      "pipeline.ts": `${build("() => ({})")}\nexport const other = definePipeline({ name: "other", input: z.object({}), build: () => ({}) });`,
    });
    expect((await client.snapshots.create(`${pipeline}#other`)).pipelineName).toBe("other");
    await expect(client.snapshots.create(`${pipeline}#nope`)).rejects.toMatchObject({
      code: "PIPELINE_MISSING",
      message: expect.stringContaining('pipeline.ts: The module has no export "nope" that'),
    });
  });

  it("stops when it is told to", async () => {
    const { client, pipeline, root } = await open({
      "pipeline.ts": `import { writeFileSync } from "node:fs";
writeFileSync(process.env["STARTED_FILE"] ?? "", "");
setInterval(() => {}, 1000);
await new Promise(() => {});`,
    });
    const started = join(root, "started");
    vi.stubEnv("STARTED_FILE", started);
    onTestFinished(() => void vi.unstubAllEnvs());
    const stop = new AbortController();
    const made = client.snapshots.create(pipeline, { signal: stop.signal });
    await expect.poll(() => existsSync(started), { timeout: 20_000 }).toBe(true);
    stop.abort(new Error("enough"));
    await expect(made).rejects.toThrow("enough");
  });
});

it.each([
  ["the module", "await new Promise((done) => setTimeout(done, 1e7));"],
  ["build", build("() => { for (;;); }")],
])("a deadline counts for loading too: %s has no end", async (_what, text) => {
  const { client, pipeline } = await open({ "pipeline.ts": text });
  const options = { timeoutSeconds: 0.5 };
  for (const call of [client.plan, client.deploy])
    await expect(call(pipeline, options)).rejects.toMatchObject({
      class: "pipeline",
      code: "PIPELINE_ENDED",
      message: expect.stringContaining("did not come to an end within 0.5 s"),
      action: expect.stringContaining("endless loop"),
    });
});

describe("a pipeline that cannot be compiled is told of in the user's words", () => {
  it.each<readonly [string, string, string, RegExp]>([
    [
      "a module that throws",
      "const a: string = 'x';\n\nthrow new Error('no database here');",
      "PIPELINE_THROWS",
      /\(pipeline\.ts:3:7\): no database here/,
    ],
    ["a module that throws no error", "throw 'a word';", "PIPELINE_THROWS", /a word/],
    [
      "a module that throws later",
      "setTimeout(() => {\n  throw new Error('too late');\n}, 1);\nawait new Promise((done) => setTimeout(done, 1e7));",
      "PIPELINE_THROWS",
      /\(pipeline\.ts:2:9\): too late/,
    ],
    [
      "a module with a rejection that nobody handles",
      "Promise.reject(new Error('lost'));\nawait new Promise((done) => setTimeout(done, 1e7));",
      "PIPELINE_THROWS",
      /\(pipeline\.ts:1:16\): lost/,
    ],
    [
      "a module that looks for files",
      "import { readFileSync } from 'node:fs'; readFileSync('not-there.csv');",
      "PIPELINE_THROWS",
      /not-there\.csv/,
    ],
    ["a module that ends the process", "process.exit(3);", "PIPELINE_ENDED", /exit code 3/],
    [
      "a module that waits for ever",
      "await new Promise(() => {});",
      "PIPELINE_ENDED",
      /never comes/,
    ],
    ["no such export", "export const a = 1;", "PIPELINE_MISSING", /has no default export/],
    [
      "an export that is no pipeline",
      "export default { name: 'p' };",
      "PIPELINE_MISSING",
      /has no default export/,
    ],
    [
      "a promise that is rejected",
      "export default Promise.reject(new Error('no pipe'));",
      "PIPELINE_THROWS",
      /no pipe/,
    ],
    [
      "a promise of something",
      "export default Promise.resolve({});",
      "PIPELINE_MISSING",
      /has no default export/,
    ],
    ["an async build", build("async () => ({})"), "PIPELINE_WIRING", /is async/],
    [
      "a build that throws",
      build("() => { throw new Error('mine'); }"),
      "PIPELINE_BUILD_FAILED",
      /build of pipeline "p" fails \(pipeline\.ts:3:\d+\): mine/,
    ],
    ["a build that returns nothing", build("() => undefined"), "PIPELINE_WIRING", /named outputs/],
    [
      "a name that is not usable",
      build("() => ({})").replace('name: "p"', 'name: "a b"'),
      "PIPELINE_INVALID",
      /"a b"/,
    ],
    [
      "settings with a typo",
      build("() => ({}), settings: { serving: { maxConcurency: 1 } }"),
      "PIPELINE_INVALID",
      /maxConcurrency/,
    ],
    [
      "a key in the settings",
      build("() => ({}), settings: { serving: { authKey: '0123456789abcdef' } }"),
      "SECRET_IN_SNAPSHOT",
      /holds no secrets/,
    ],
  ])("%s", async (_case, text, code, message) => {
    const error = await failureOf(text);
    expect(error).toMatchObject({ class: "pipeline", code });
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/pipeline\.ts|ipeline "p"/);
    expect(JSON.stringify(error.details)).not.toMatch(/staging/);
  });
});
