import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir, userInfo } from "node:os";
import { dirname, join } from "node:path";
import { inspect, promisify } from "node:util";
import { configSchema } from "@millrace/core";
import fc from "fast-check";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { loadConfig } from "./load.ts";

let folder = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-config-"));
  onTestFinished(() => rm(folder, { recursive: true }));
});

async function write(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
}

const load = (directory = folder, environment: NodeJS.ProcessEnv = {}) =>
  loadConfig({ directory }, environment);

async function failure(name: string, content: string) {
  await write({ [name]: content });
  const error: unknown = await load().then(
    () => expect.fail("it was loaded"),
    (thrown) => thrown,
  );
  expect(error).toMatchObject({
    class: "usage",
    message: expect.stringContaining(join(folder, name)),
    action: expect.any(String),
  });
  return error;
}

describe("finding the configuration", () => {
  it("goes upwards from the directory to the nearest file, and puts the state folder beside it", async () => {
    await write({
      "millrace.config.json": '{ "project": "outer" }',
      "inner/millrace.config.mjs": 'export default { project: "inner" };',
      "inner/deep/er/keep": "",
    });
    const inner = await load(join(folder, "inner/deep/er"));
    expect(inner).toMatchObject({
      project: "inner",
      file: join(folder, "inner/millrace.config.mjs"),
      home: join(folder, "inner/.millrace"),
    });
    expect(await load()).toMatchObject({ project: "outer", home: join(folder, ".millrace") });
  });

  it("refuses to choose between two files in one folder", async () => {
    await write({ "millrace.config.json": "{}", "millrace.config.mjs": "export default {};" });
    await expect(load()).rejects.toMatchObject({
      code: "CONFIG_AMBIGUOUS",
      message: expect.stringMatching(/millrace\.config\.mjs and .*millrace\.config\.json/),
    });
  });

  it("reads JSON behind a byte order mark", async () => {
    await write({ "millrace.config.json": '\uFEFF{ "project": "marked" }' });
    expect(await load()).toMatchObject({ project: "marked" });
  });

  it("takes a promise, and tells why it is rejected", async () => {
    await write({
      "a/millrace.config.mjs": 'export default Promise.resolve({ project: "late" });',
    });
    expect(await load(join(folder, "a"))).toMatchObject({ project: "late" });
    const content = 'export default Promise.reject(new Error("no config"));';
    expect(await failure("millrace.config.mjs", content)).toMatchObject({
      code: "CONFIG_FAILED",
      message: expect.stringContaining("no config"),
    });
  });

  it("works without any file", async () => {
    expect(await load()).toMatchObject({
      config: {},
      file: null,
      project: "default",
      user: userInfo().username,
      home: join(folder, ".millrace"),
      store: { kind: "sqlite", file: join(folder, ".millrace/millrace.db") },
      artifacts: join(folder, ".millrace/artifacts"),
      secretFile: join(folder, ".millrace/secrets.json"),
      envFile: join(folder, ".env"),
    });
  });

  it("prefers the file that is named, and says when that one is not there", async () => {
    await write({ "millrace.config.json": "{}", "other.json": '{ "project": "other" }' });
    expect(await loadConfig({ directory: folder, configFile: "other.json" }, {})).toMatchObject({
      project: "other",
    });
    await expect(
      loadConfig({ directory: folder, configFile: "nope.json" }, {}),
    ).rejects.toMatchObject({
      code: "CONFIG_NOT_FOUND",
      message: expect.stringContaining("nope.json"),
    });
  });

  it("prefers the call, then MILLRACE_HOME, for the state folder; an empty variable says nothing", async () => {
    expect(
      await loadConfig(
        { directory: folder, home: join(folder, "a") },
        { MILLRACE_HOME: join(folder, "b") },
      ),
    ).toMatchObject({ home: join(folder, "a") });
    expect(await load(folder, { MILLRACE_HOME: join(folder, "b") })).toMatchObject({
      home: join(folder, "b"),
      store: { kind: "sqlite", file: join(folder, "b/millrace.db") },
    });
    expect(await load(folder, { MILLRACE_HOME: "", MILLRACE_USER: "" })).toMatchObject({
      home: join(folder, ".millrace"),
      user: userInfo().username,
    });
    expect(await load(folder, { MILLRACE_USER: "ann" })).toMatchObject({ user: "ann" });
  });

  it("tells where each value came from", async () => {
    await write({
      "millrace.config.json": '{ "project": "p", "store": { "artifacts": "stuff" } }',
    });
    const file = join(folder, "millrace.config.json");
    const { entries } = await load(folder, { MILLRACE_HOME: "/tmp/elsewhere" });
    expect(entries).toEqual(
      expect.arrayContaining([
        { name: "home", value: "/tmp/elsewhere", origin: "MILLRACE_HOME" },
        { name: "project", value: "p", origin: file },
        { name: "store.artifacts", value: join(folder, "stuff"), origin: file },
        { name: "store.url", value: "/tmp/elsewhere/millrace.db", origin: "default" },
      ]),
    );
    expect(new Set(entries.map(({ name }) => name)).size).toBe(entries.length);
  });
});

describe("reading the configuration", () => {
  it("refuses a plugin object without a name", async () => {
    const content = "export default { plugins: [{ contract: 99, flavors: [] }] };";
    expect(await failure("millrace.config.mjs", content)).toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("plugins[0]"),
    });
  });

  it("loads TypeScript without a build step, with defineConfig and plugin objects", async () => {
    const core = dirname(createRequire(import.meta.url).resolve("@millrace/core/package.json"));
    await write({
      "package.json": '{ "type": "module" }',
      "millrace.config.ts": `import { defineConfig, definePlugin } from ${JSON.stringify(join(core, "dist/index.js"))};
const name: string = "typed";
export default defineConfig({
  project: name,
  plugins: [definePlugin({ name: "mine", flavors: [] }), "theirs"],
  deployers: { prod: { flavor: "cloud", settings: { cpu: 2 }, serving: { tracking: { mode: "sync" } } } },
  stacks: { prod: { deployer: "prod" } },
});`,
    });
    const { config, project, entries } = await load();
    expect(project).toBe("typed");
    expect(config.deployers?.["prod"]).toEqual({
      flavor: "cloud",
      settings: { cpu: 2 },
      serving: { tracking: { mode: "sync" } },
    });
    expect(entries).toContainEqual(
      expect.objectContaining({ name: "plugins", value: ["mine", "theirs"] }),
    );
  });

  it.each([
    ["file:///var/lib/millrace.db", "/var/lib/millrace.db"],
    ["/var/lib/millrace.db", "/var/lib/millrace.db"],
    ["file:data/millrace.db", "data/millrace.db"],
    ["data/millrace.db", "data/millrace.db"],
  ])("reads the store's place %s", async (url, path) => {
    await write({ "millrace.config.json": JSON.stringify({ store: { url } }) });
    expect((await load()).store).toEqual({
      kind: "sqlite",
      file: path.startsWith("/") ? path : join(folder, path),
    });
  });

  it("takes a database by its URL, and shows no password; MILLRACE_STORE_URL comes first", async () => {
    const url = "postgres://ann:hunter2@host:5433/db?sslmode=verify-full";
    await write({ "millrace.config.json": JSON.stringify({ store: { url } }) });
    const loaded = await load();
    expect(loaded.store.kind === "postgres" && loaded.store.url.reveal()).toBe(url);
    expect(loaded.entries).toContainEqual({
      name: "store.url",
      value: "postgres://ann@host:5433/db",
      origin: join(folder, "millrace.config.json"),
    });
    const other = await load(folder, { MILLRACE_STORE_URL: "postgresql://bob:hunter2@host/other" });
    expect(other.entries).toContainEqual({
      name: "store.url",
      value: "postgres://bob@host/other",
      origin: "MILLRACE_STORE_URL",
    });
    expect(inspect([loaded.entries, other], { depth: 9 }).replace(url, "")).not.toContain(
      "hunter2",
    );
    expect((await load(folder, { MILLRACE_STORE_URL: "" })).store.kind).toBe("postgres");
  });

  it("takes a store's URL without the space around it", async () => {
    const { store } = await load(folder, { MILLRACE_STORE_URL: " postgres://ann:pw@host/db\n" });
    expect(store.kind === "postgres" && store.url.reveal()).toBe("postgres://ann:pw@host/db");
  });

  it("completes a store's URL for services, which have neither this folder nor this environment", async () => {
    const url = "postgres:///db?sslmode=verify-full&sslrootcert=ca/root.crt&sslkey=/etc/key";
    await write({ "millrace.config.json": JSON.stringify({ store: { url } }) });
    const variables = { PGUSER: "ann", PGPASSWORD: "hunter2", PGHOST: "db.example", PGPORT: "" };
    const { store, entries } = await load(folder, variables);
    const whole = new URL(store.kind === "postgres" ? store.url.reveal() : "");
    expect(Object.fromEntries(whole.searchParams)).toEqual({
      sslmode: "verify-full",
      sslrootcert: join(folder, "ca/root.crt"),
      sslkey: "/etc/key",
      user: "ann",
      password: "hunter2",
      host: "db.example",
    });
    expect(entries).toContainEqual({
      name: "store.url",
      value: "postgres:///db",
      origin: `${join(folder, "millrace.config.json")}, PGUSER, PGPASSWORD, PGHOST`,
    });
    expect(inspect(entries)).not.toContain("hunter2");
    const own = "postgres://bob@host:1/db?password=own";
    const other = (await load(folder, { ...variables, MILLRACE_STORE_URL: own })).store;
    expect(other.kind === "postgres" && other.url.reveal()).toBe(own);
  });

  it.each([
    "mysql://user:hunter2@host/db",
    "file://host/db",
    "sqlite+x://user:hunter2@host",
    "jdbc:postgresql://ann:hunter2@host/db",
    "'postgres://ann:hunter2@host/db'",
    '"postgres://ann:hunter2@host/db"',
    "postgres//ann:hunter2@host/db",
    "//ann:hunter2@host/db",
    "ann:hunter2@host/db",
    "postgres:/ann:hunter2@host/db",
    "postgres://ann@hunter2@host/db",
  ])("refuses the store %s without showing a password", async (url) => {
    await write({ "millrace.config.json": JSON.stringify({ store: { url } }) });
    const error = await load().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "STORE_URL" });
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain("hunter2");
  });
});

describe("a wrong configuration is refused with its file", () => {
  it("for a typo, with what was likely meant", async () => {
    const error = await failure(
      "millrace.config.json",
      '{ "stakcs": {}, "deployers": { "prod": { "flavour": "x", "flavor": "x" } } }',
    );
    expect(error).toMatchObject({ code: "CONFIG_INVALID" });
    expect(String(error)).toContain('stakcs: unknown key; did you mean "stacks"?');
    expect(String(error)).toContain('deployers.prod.flavour: unknown key; did you mean "flavor"?');
  });

  it("for a wrong setting of how deployments serve", async () => {
    const error = await failure(
      "millrace.config.json",
      '{ "deployers": { "a": { "flavor": "x", "serving": { "trackin": {} } } } }',
    );
    expect(String(error)).toContain("deployers.a.serving.trackin: unknown key");
  });

  it("for text that is no JSON", async () => {
    expect(await failure("millrace.config.json", "{ project: 1 }")).toMatchObject({
      code: "CONFIG_FAILED",
      cause: expect.any(SyntaxError),
    });
  });

  it("for a module that throws, with the cause", async () => {
    expect(
      await failure("millrace.config.mjs", '\n\nthrow new Error("no vault today");'),
    ).toMatchObject({
      code: "CONFIG_FAILED",
      message: expect.stringMatching(/millrace\.config\.mjs:3:7 could .* no vault today/),
      cause: expect.any(Error),
    });
  });

  // In a process of its own: Vitest would read the file as a module, whatever its package says.
  it.each(['import { join } from "node:path";', "export default {};"])(
    "for a module in a package of scripts, with the command that makes it one of modules: %s",
    async (content) => {
      await write({ "package.json": '{ "type": "commonjs" }', "millrace.config.ts": content });
      const built = new URL("../../dist/config/load.js", import.meta.url).href;
      const script = `import { loadConfig } from ${JSON.stringify(built)};
        await loadConfig({ directory: ${JSON.stringify(folder)} }, {}).catch(({ code, action }) =>
          console.log(JSON.stringify({ code, action })));`;
      const { stdout } = await promisify(execFile)(process.execPath, [
        "--input-type=module",
        "--eval",
        script,
      ]);
      expect(JSON.parse(stdout)).toEqual({
        code: "CONFIG_FAILED",
        action: `Run in ${folder}: npm pkg set type=module`,
      });
    },
  );

  it("for a module that imports what is not there", async () => {
    expect(await failure("millrace.config.mjs", 'import "not-there";')).toMatchObject({
      code: "CONFIG_FAILED",
      message: expect.stringContaining("not-there"),
    });
  });

  it("for a getter that throws", async () => {
    const content = 'export default { get project() { throw new Error("no project today"); } };';
    expect(await failure("millrace.config.mjs", content)).toMatchObject({
      code: "CONFIG_FAILED",
      message: expect.stringMatching(/millrace\.config\.mjs:1:\d+ could .* no project today/),
    });
  });

  it.each([
    ["leads nowhere", "not-there.mjs", "ENOENT"],
    ["leads to itself", "millrace.config.mjs", "ELOOP"],
    ["leads to a folder", ".", "it is a folder"],
  ])("for a link that %s", async (_where, target, reason) => {
    await symlink(target, join(folder, "millrace.config.mjs"));
    const refused = {
      class: "usage",
      code: "CONFIG_FAILED",
      message: expect.stringContaining(`/millrace.config.mjs could not be loaded: ${reason}`),
    };
    await expect(load()).rejects.toMatchObject(refused);
    await expect(
      loadConfig({ directory: folder, configFile: "millrace.config.mjs" }, {}),
    ).rejects.toMatchObject(refused);
  });

  it("for a folder, also one that holds Millrace itself", async () => {
    const configFile = dirname(import.meta.dirname);
    await expect(loadConfig({ configFile }, {})).rejects.toMatchObject({
      code: "CONFIG_FAILED",
      message: `${configFile} could not be loaded: it is a folder.`,
    });
  });

  it("for a module without a default export", async () => {
    expect(await failure("millrace.config.mjs", "export const project = 1;")).toMatchObject({
      code: "CONFIG_INVALID",
      action: expect.stringContaining("export default"),
    });
  });

  it.each([
    ["project", { project: "a/b" }],
    ["deployer", { deployers: { "../x": { flavor: "a" } } }],
    ["stack", { stacks: { "ä b": { deployer: "a" } } }],
  ])("for a %s with an unusable name", async (_kind, config) => {
    expect(await failure("millrace.config.json", JSON.stringify(config))).toMatchObject({
      code: "NAME_INVALID",
    });
  });

  it("whatever else it holds, and never by another error", async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), async (value) => {
        await write({ "millrace.config.json": JSON.stringify(value) });
        const outcome: unknown = await load().catch((error: unknown) => error);
        const usable = configSchema.safeParse(JSON.parse(JSON.stringify(value))).success;
        expect(outcome).toMatchObject(
          usable ? { config: expect.anything() } : { code: "CONFIG_INVALID" },
        );
      }),
      { numRuns: 100, examples: [[{}], [null], [{ project: "x" }]] },
    );
  });
});
