import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MillraceError } from "@millrace/core";
import { describe, expect, it, onTestFinished } from "vitest";
import { type Bundle, bundle, ENTRY_FILE } from "./bundle.ts";
import { makeProject, packageFiles, pipelineModule } from "./project.fixture.ts";
import { shownPath } from "./source.ts";

function textOf({ files }: Bundle, path: string): string {
  return Buffer.from(files.get(path) ?? []).toString();
}

async function failureOf(files: Readonly<Record<string, string>>): Promise<MillraceError> {
  const { source } = await makeProject(files);
  return bundle(source()).then(
    () => expect.fail("it was bundled"),
    (error) => error,
  );
}

const native = packageFiles(
  "native",
  { version: "1.2.3", gypfile: true, dependencies: { helper: "^1.0.0" } },
  { "index.js": "module.exports = () => require('helper');" },
);

describe("bundle", () => {
  it("gives the same bytes for the same sources, wherever they lie and however often", async () => {
    const { root, source } = await makeProject({
      "pipeline.ts": pipelineModule(
        'return (await import("./more/lazy.ts")).value + data.one + table.href;',
        'import data from "./data.json" with { type: "json" };\nconst table = new URL("./table.csv", import.meta.url);',
      ),
      "more/lazy.ts": "export const value: number = 1;",
      "data.json": '{ "one": 1 }',
      "table.csv": "a,b\n",
    });
    const elsewhere = await mkdtemp(join(tmpdir(), "millrace-"));
    onTestFinished(() => rm(elsewhere, { recursive: true }));
    const copy = join(elsewhere, "a", "deeper", "place");
    await cp(root, copy, { recursive: true, verbatimSymlinks: true });

    const first = await bundle(source());
    const second = await bundle(source());
    const third = await bundle({ file: join(copy, "pipeline.ts"), export: "default", root: copy });

    expect([...first.files.keys()].filter((path) => path.endsWith(".csv"))).toHaveLength(1);
    expect([...second.files]).toEqual([...first.files]);
    expect([...third.files]).toEqual([...first.files]);
    for (const path of first.files.keys()) expect(textOf(first, path)).not.toContain(tmpdir());
    expect(JSON.parse(textOf(first, `${ENTRY_FILE}.map`)).sources).toContain("pipeline.ts");
  });

  it("gives other bytes when a module, the JSON or an asset differs", async () => {
    const files = {
      "pipeline.ts": `import { value } from "./value.ts";
import data from "./data.json" with { type: "json" };
export default [value, data, new URL("./table.csv", import.meta.url)];`,
      "value.ts": "export const value = 1;",
      "data.json": "{}",
      "table.csv": "1",
    };
    const bytes = async (changed: Record<string, string>): Promise<string> =>
      JSON.stringify(
        [...(await bundle((await makeProject({ ...files, ...changed })).source())).files].map(
          ([path, content]) => [path, Buffer.from(content).toString("hex")],
        ),
      );
    const all = [
      await bytes({}),
      await bytes({ "value.ts": "export const value = 2;" }),
      await bytes({ "data.json": '{"a":1}' }),
      await bytes({ "table.csv": "2" }),
    ];
    expect(new Set(all).size).toBe(all.length);
  });

  it("leaves out what the pipeline does not use", async () => {
    const { source } = await makeProject({
      "pipeline.ts": 'import { used } from "./both.ts";\nexport default used;',
      "both.ts": "export const used = 'this stays'; export const unused = 'this goes';",
    });
    const code = textOf(await bundle(source()), ENTRY_FILE);
    expect(code).toContain("this stays");
    expect(code).not.toContain("this goes");
  });

  it("names all that it read, for telling whether something changed", async () => {
    const { root, source } = await makeProject({
      ...native,
      "pipeline.ts": `import native from "native";
import data from "./data.json" with { type: "json" };
export default [native, data];`,
      "data.json": "{}",
    });
    const { sources } = await bundle(source());
    for (const path of ["pipeline.ts", "data.json", "node_modules/native/package.json"])
      expect(sources).toContain(join(root, path));
  });

  it("follows the paths of tsconfig.json and the imports of package.json", async () => {
    const { source } = await makeProject({
      "pipeline.ts":
        'import { a } from "@lib/a";\nimport { b } from "#lib/b.ts";\nexport default [a, b];',
      "lib/a.ts": "export const a = 'by tsconfig';",
      "lib/b.ts": "export const b = 'by package.json';",
      "tsconfig.json": '{ "compilerOptions": { "paths": { "@lib/*": ["./lib/*"] } } }',
      "package.json": '{ "name": "p", "type": "module", "imports": { "#lib/*": "./lib/*" } }',
    });
    expect(textOf(await bundle(source()), ENTRY_FILE)).toMatch(/by tsconfig.*by package\.json/s);
  });
});

describe("packages that cannot be bundled stay packages, in their exact version", () => {
  const imports = 'import it from "it";';
  const main = { "pipeline.ts": `${imports}\nexport default it;` };

  it.each<readonly [string, Readonly<Record<string, string>>]>([
    ["one that compiles an addon", packageFiles("it", { gypfile: true }, { "index.js": "" })],
    ["one with a recipe", packageFiles("it", {}, { "index.js": "", "binding.gyp": "{}" })],
    [
      "one with a loader of addons",
      packageFiles("it", { dependencies: { bindings: "1" } }, { "index.js": "" }),
    ],
    [
      "one with a package per platform",
      packageFiles("it", { optionalDependencies: { "@it/linux-x64": "1" } }, { "index.js": "" }),
    ],
    [
      "one whose addon only its code names",
      packageFiles(
        "it",
        { main: "lib/a.js" },
        { "lib/a.js": "module.exports = require('../build/x.node');", "build/x.node": "binary" },
      ),
    ],
    [
      "one that reads files beside itself",
      packageFiles(
        "it",
        {},
        { "index.js": "exports.a = require('fs').readFileSync(__dirname + '/a.txt');" },
      ),
    ],
    [
      "one that requires what it computes",
      packageFiles("it", {}, { "index.js": "module.exports = (name) => require(name);" }),
    ],
    [
      "one that makes its own require",
      packageFiles(
        "it",
        { type: "module" },
        {
          "index.js":
            "import { createRequire } from 'node:module'; export default createRequire(import.meta.url)('./x.cjs');",
          "x.cjs": "",
        },
      ),
    ],
    [
      "one that starts a worker from a file",
      packageFiles(
        "it",
        { type: "module" },
        {
          "index.js": "export default () => new Worker(new URL('./w.js', import.meta.url));",
          "w.js": "import './x.js';",
          "x.js": "",
        },
      ),
    ],
  ])("%s", async (_case, files) => {
    const { root, source } = await makeProject({ ...main, ...files });
    const { externals, files: written } = await bundle(source());
    expect(externals).toEqual([
      { name: "it", version: "1.0.0", directory: join(root, "node_modules/it") },
    ]);
    expect(Buffer.from(written.get(ENTRY_FILE) ?? []).toString()).toMatch(/from "it"/);
  });

  it("one that a bundled package needs", async () => {
    const { source } = await makeProject({
      ...main,
      ...native,
      ...packageFiles("it", {}, { "index.js": "module.exports = require('native');" }),
    });
    const { externals } = await bundle(source());
    expect(externals.map(({ name, version }) => `${name}@${version}`)).toEqual(["native@1.2.3"]);
  });

  it("and no other one", async () => {
    const { source } = await makeProject({
      ...main,
      ...packageFiles("it", {}, { "index.js": "module.exports = 1;" }),
    });
    expect((await bundle(source())).externals).toEqual([]);
  });

  it("in one version: two are refused by name", async () => {
    const nested = Object.fromEntries(
      Object.entries(
        packageFiles("native", { version: "2.0.0", gypfile: true }, { "index.js": "" }),
      ).map(([path, content]) => [`node_modules/it/${path}`, content]),
    );
    const error = await failureOf({
      ...native,
      ...nested,
      ...packageFiles("it", {}, { "index.js": "module.exports = require('native');" }),
      "pipeline.ts":
        'import it from "it";\nimport native from "native";\nexport default [it, native];',
    });
    expect(error.message).toMatch(/native cannot be bundled and is needed in two versions/);
    expect(error.action).toMatch(/dedupe/);
  });

  it("a package's optional import that is not installed is no fault", async () => {
    const { source } = await makeProject({
      ...main,
      ...packageFiles(
        "it",
        {},
        {
          "index.js":
            "let a; try { a = require('absent'); } catch {} module.exports = a; exports.b = () => import('absent-too');",
        },
      ),
    });
    expect((await bundle(source())).externals).toEqual([]);
  });
});

describe("a source that cannot be bundled or traced is refused with file, line and cause", () => {
  it.each<readonly [string, Readonly<Record<string, string>>, RegExp, RegExp]>([
    [
      "a syntax error",
      { "pipeline.ts": "export const a = 1;\nconst = 3;" },
      /pipeline\.ts:2:7: Unexpected token/,
      /Correct/,
    ],
    [
      "a syntax error in another file",
      { "pipeline.ts": 'import "./b.ts";', "b.ts": "\n\n}" },
      /b\.ts:3:1: Unexpected token/,
      /Correct/,
    ],
    [
      "a missing package",
      { "pipeline.ts": '\n\nimport "@not/there/deep";' },
      /pipeline\.ts:3:8: the package @not\/there is not installed/,
      /npm install @not\/there$/,
    ],
    [
      "a missing file",
      { "pipeline.ts": 'import "./nope.ts";' },
      /pipeline\.ts:1:8: Could not resolve '\.\/nope\.ts'/,
      /Correct/,
    ],
    [
      "a missing export",
      {
        "pipeline.ts": 'import { a } from "./b.ts"; export default a;',
        "b.ts": "export const b = 1;",
      },
      /pipeline\.ts:1:10: "a" is not exported by "b\.ts"/,
      /Correct/,
    ],
    [
      "a missing asset",
      { "pipeline.ts": 'export default new URL("./a.csv", import.meta.url);' },
      /pipeline\.ts:1:24: Could not resolve '\.\/a\.csv'/,
      /Correct/,
    ],
    [
      "a computed import",
      { "pipeline.ts": "export default (a) => import(a);" },
      /pipeline\.ts:1:23: import\(\) of a computed path cannot be traced/,
      /new URL/,
    ],
    [
      "files beside the module",
      { "pipeline.ts": "export default import.meta.dirname;" },
      /pipeline\.ts:1:16: import\.meta\.dirname cannot be traced/,
      /new URL/,
    ],
    [
      "an addon of the project's own",
      { "pipeline.ts": 'import a from "./a.node"; export default a;', "a.node": "binary" },
      /a\.node: a native addon/,
      /package/,
    ],
    [
      "broken JSON",
      {
        "pipeline.ts": 'import a from "./a.json" with { type: "json" }; export default a;',
        "a.json": "{",
      },
      /a\.json/,
      /Correct/,
    ],
  ])("%s", async (_case, files, message, action) => {
    const error = await failureOf(files);
    expect(error).toMatchObject({ code: "SNAPSHOT_BUNDLE_FAILED", class: "pipeline" });
    expect(error.message).toMatch(message);
    expect(error.message).not.toMatch(/[\n\0]/);
    expect(error.action).toMatch(action);
  });

  it.each(["pipeline.ts", "b.ts"])("a source that is no UTF-8: %s", async (path) => {
    const { root, source } = await makeProject({ "pipeline.ts": 'import "./b.ts";', "b.ts": "" });
    await writeFile(join(root, path), Buffer.of(0xff, 0xfe));
    const failure = await bundle(source()).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      code: "SNAPSHOT_BUNDLE_FAILED",
      message: `${shownPath(source().file)} could not be bundled: ${path}: it cannot be read: stream did not contain valid UTF-8.`,
      action: "Save it as UTF-8.",
    });
  });

  it("all of them, when there are several", async () => {
    const error = await failureOf({ "pipeline.ts": 'import "./a.ts";\nimport "./b.ts";' });
    expect(error.message).toMatch(/a\.ts.*and 1 more/);
    expect(error.issues.map(({ message }) => message)).toEqual([
      expect.stringContaining("./a.ts"),
      expect.stringContaining("./b.ts"),
    ]);
  });
});
