import {
  CONTRACT_VERSION,
  type Config,
  defineFlavor,
  definePlugin,
  type Flavor,
} from "@millrace/core";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { z } from "zod";
import { makeProject, packageFiles } from "../snapshot/project.fixture.ts";
import { Plugins } from "./plugins.ts";

function flavorOf(name: string): Flavor {
  return defineFlavor({
    name,
    description: "",
    capabilities: {
      artefact: "bundle",
      logs: { tail: true, since: true, follow: true, replicas: false },
      secrets: true,
      zeroDowntime: true,
      keepsOldOnFailure: true,
      scaleToZero: false,
      trafficSplit: false,
      stableUrl: true,
      tls: false,
    },
    settings: z.strictObject({}) as z.ZodType<unknown>,
    create: () => Promise.reject(new Error("not made here")),
  });
}

/** The properties of a flavor beside its name, as source text. */
const FLAVOR =
  'description: "", capabilities: { artefact: "bundle", logs: {} }, settings: { safeParse() {} }, create() {}';

const pluginModule = (name: string, flavors: string): string =>
  `export default { contract: ${CONTRACT_VERSION}, name: "${name}", flavors: ${flavors} };`;

const moduleOf = (flavor: string): string =>
  pluginModule(`plugin of ${flavor}`, `[{ name: "${flavor}", ${FLAVOR} }]`);

const local = packageFiles(
  "@millrace/deployer-local",
  { type: "module", exports: "./index.js" },
  { "index.js": moduleOf("local") },
);

async function pluginsOf(
  plugins: Config["plugins"],
  files: Readonly<Record<string, string>> = {},
  given: readonly Flavor[] = [],
) {
  const { root } = await makeProject({ ...local, ...files });
  return {
    root,
    plugins: new Plugins(
      { config: plugins === undefined ? {} : { plugins }, directory: root },
      given,
    ),
  };
}

const names = async (plugins: Plugins): Promise<string[]> =>
  (await plugins.all()).map(({ name }) => name).sort();

describe("Plugins", () => {
  it("has the built-in flavor without any configuration, once, also when it is named", async () => {
    expect(await names((await pluginsOf(undefined)).plugins)).toEqual(["local"]);
    expect(await names((await pluginsOf(["@millrace/deployer-local"])).plugins)).toEqual(["local"]);
  });

  it.each<readonly [string, unknown, string]>([
    ["a string", "./lib/entry.js", "lib/entry.js"],
    [
      "conditions",
      { types: "./x.d.ts", require: "./x.cjs", import: "./lib/entry.js" },
      "lib/entry.js",
    ],
    [
      "a nested dot",
      {
        ".": { browser: "./x.js", node: { import: "./lib/entry.js" } },
        "./package.json": "./package.json",
      },
      "lib/entry.js",
    ],
    ["nothing, but main", undefined, "main.js"],
  ])(
    "loads a package whose exports are %s, from the configuration's folder",
    async (_case, exports, file) => {
      const { plugins } = await pluginsOf(
        ["@acme/cloud"],
        packageFiles(
          "@acme/cloud",
          { type: "module", main: "main.js", ...(exports === undefined ? {} : { exports }) },
          { [file]: moduleOf("cloud") },
        ),
      );
      expect(await names(plugins)).toEqual(["cloud", "local"]);
      expect((await plugins.flavor("cloud")).name).toBe("cloud");
    },
  );

  it("loads a module by its path, and takes a plugin object as it is", async () => {
    const object = definePlugin({ name: "mine", flavors: [flavorOf("own")] });
    const { plugins } = await pluginsOf(["./deployers/cloud.ts", object], {
      "deployers/cloud.ts": moduleOf("cloud"),
    });
    expect(await names(plugins)).toEqual(["cloud", "local", "own"]);
  });

  it("lets a plugin that cannot be loaded be in the way of its own flavors only", async () => {
    const { plugins } = await pluginsOf(
      ["broken"],
      packageFiles("broken", { type: "module" }, { "index.js": "throw new Error('no licence');" }),
      [flavorOf("given")],
    );
    expect((await plugins.flavor("given")).name).toBe("given");
    expect((await plugins.flavor("local")).name).toBe("local");
    const failure = {
      code: "PLUGIN_FAILED",
      message: expect.stringMatching(/broken.*no licence/),
      cause: expect.any(Error),
    };
    await expect(plugins.flavor("cloud")).rejects.toMatchObject(failure);
    await expect(plugins.all()).rejects.toMatchObject(failure);
  });

  it("lets a given flavor take the place of an installed one", async () => {
    const given = flavorOf("local");
    const { plugins } = await pluginsOf(undefined, {}, [given]);
    expect(await plugins.flavor("local")).toBe(given);
    expect(await plugins.all()).toEqual([given]);
  });

  it("says how to install a package that is missing", async () => {
    const { root, plugins } = await pluginsOf(["@acme/absent"]);
    await expect(plugins.all()).rejects.toMatchObject({
      code: "PLUGIN_NOT_FOUND",
      message: expect.stringContaining("@acme/absent"),
      action: `Run in ${root}: npm install @acme/absent`,
    });
  });

  it("says what a flavor that no plugin provides may have meant", async () => {
    const { plugins } = await pluginsOf(undefined);
    await expect(plugins.flavor("lokal")).rejects.toMatchObject({
      code: "FLAVOR_UNKNOWN",
      message: expect.stringContaining('Did you mean "local"?'),
      action: expect.stringContaining("plugins"),
    });
  });

  it.each([
    ["older", CONTRACT_VERSION - 1, /npm install @acme\/cloud@latest/],
    ["newer", CONTRACT_VERSION + 1, /npm install millrace@latest/],
    ["no", '"one"', /npm install/],
  ])(
    "refuses a plugin for %s version of the contract and says what to update",
    async (_case, contract, action) => {
      const module = `export default { contract: ${contract}, name: "@acme/cloud", flavors: [] };`;
      const { plugins } = await pluginsOf(
        ["@acme/cloud"],
        packageFiles("@acme/cloud", { type: "module" }, { "index.js": module }),
      );
      await expect(plugins.all()).rejects.toMatchObject({
        code: "PLUGIN_CONTRACT",
        action: expect.stringMatching(action),
      });
    },
  );

  it.each([
    "export default {};",
    "export const plugin = 1;",
    "export default null;",
    'export default { contract: 1, flavors: "none" };',
  ])("refuses a package that is no plugin: %s", async (module) => {
    const { plugins } = await pluginsOf(
      ["other"],
      packageFiles("other", { type: "module" }, { "index.js": module }),
    );
    await expect(plugins.all()).rejects.toMatchObject({
      code: "PLUGIN_INVALID",
      message: expect.stringContaining("other"),
    });
  });

  it.each([
    ["null", "[null]", "flavors[0]: expected object, received null"],
    ["nothing", "[{}]", "flavors[0].name: is missing (string)"],
    ["a name alone", '[{ name: "x" }]', "flavors[0].settings: must be a zod schema"],
    [
      "settings that are no schema",
      `[{ name: "x", ${FLAVOR}, settings: { port: 1 } }]`,
      "flavors[0].settings: must be a zod schema",
    ],
    [
      "a getter that throws",
      '[{ get name() { throw new Error("gotten"); } }]',
      "The plugin @acme/cloud cannot be used: gotten",
    ],
  ])("refuses a plugin whose flavor is %s", async (_case, flavors, message) => {
    const { plugins } = await pluginsOf(
      ["@acme/cloud"],
      packageFiles(
        "@acme/cloud",
        { type: "module" },
        { "index.js": pluginModule("cloud", flavors) },
      ),
    );
    expect((await plugins.flavor("local")).name).toBe("local");
    await expect(plugins.all()).rejects.toMatchObject({
      class: "usage",
      code: "PLUGIN_INVALID",
      message: expect.stringMatching(/^The plugin @acme\/cloud cannot be used: /),
    });
    await expect(plugins.all()).rejects.toThrow(message);
  });

  it.each(["node:fs", "http://127.0.0.1/plugin.js"])(
    "refuses %s as the name of a plugin",
    async (name) => {
      const { plugins } = await pluginsOf([name]);
      await expect(plugins.all()).rejects.toMatchObject({
        class: "usage",
        code: "PLUGIN_INVALID",
        message: `The plugin ${name} is neither the name of a package nor a path.`,
      });
    },
  );

  it.each([
    ["./not-there.js", "PLUGIN_FAILED", /not-there\.js could not be loaded: ENOENT/],
    ["./node_modules", "PLUGIN_INVALID", /node_modules is no file/],
  ])("says of the path %s what is wrong, and names no module of ours", async (path, code, text) => {
    const { plugins } = await pluginsOf([path]);
    await expect(plugins.all()).rejects.toMatchObject({
      class: "usage",
      code,
      message: expect.stringMatching(text),
    });
    await expect(plugins.all()).rejects.not.toThrow("imported from");
  });

  it("does not wait for ever for a plugin to finish loading", async () => {
    const { plugins } = await pluginsOf(["./endless.js", "@millrace/deployer-local"], {
      "endless.js": "await new Promise(() => {}); export default {};",
    });
    vi.useFakeTimers({ toFake: ["setTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    const refused = expect(plugins.all()).rejects.toMatchObject({
      code: "PLUGIN_FAILED",
      message: expect.stringMatching(/endless\.js .* did not finish loading within 20 s/),
    });
    vi.advanceTimersByTime(20_000);
    await refused;
    expect((await plugins.flavor("local")).name).toBe("local");
  });

  it("calls a plugin that does not say its name as the configuration does", async () => {
    const { plugins } = await pluginsOf(
      ["@acme/cloud"],
      packageFiles(
        "@acme/cloud",
        { type: "module" },
        { "index.js": "export default { contract: '1', flavors: [] };" },
      ),
    );
    await expect(plugins.all()).rejects.toThrow(
      "The plugin @acme/cloud was made for version '1' of the deployer contract; this is version 1.",
    );
  });

  it("refuses two plugins with the same flavor, and names both", async () => {
    const { plugins } = await pluginsOf(
      ["one"],
      packageFiles("one", { type: "module" }, { "index.js": moduleOf("local") }),
    );
    await expect(plugins.all()).rejects.toMatchObject({
      code: "FLAVOR_TWICE",
      message: expect.stringContaining('"local"'),
    });
  });

  it("finds the built-in flavor beside the millrace package that the project uses", async () => {
    const inside = packageFiles(
      "millrace/node_modules/@millrace/deployer-local",
      { name: "@millrace/deployer-local", type: "module" },
      { "index.js": moduleOf("nested") },
    );
    const { root } = await makeProject({
      ...packageFiles("millrace", {}, { "index.js": "" }),
      ...inside,
    });
    const plugins = new Plugins({ config: {}, directory: root }, []);
    expect(await names(plugins)).toEqual(["nested"]);
  });

  it("does with other plugins where the built-in one is not installed", async () => {
    const { root } = await makeProject(
      packageFiles("@acme/cloud", { type: "module" }, { "index.js": moduleOf("cloud") }),
    );
    const plugins = new Plugins({ config: { plugins: ["@acme/cloud"] }, directory: root }, []);
    expect(await names(plugins)).toContain("cloud");
  });
});
