import { describe, expect, it } from "vitest";
import { findUntraceable, SUSPICIOUS } from "./tracing.ts";

const untraceable: readonly (readonly [code: string, what: RegExp])[] = [
  ["await import(name);", /computed path/],
  [`await import(\`./\${name}.ts\`);`, /computed path/],
  ["const x = require(name);", /require\(\) of a computed path/],
  ['require.resolve("dep");', /require\.resolve/],
  ["const r = createRequire(import.meta.url);", /createRequire/],
  ["const r = module.createRequire(import.meta.url);", /createRequire/],
  ["read(import.meta.dirname);", /import\.meta\.dirname/],
  ["read(__dirname);", /__dirname/],
  ["read(dirname(fileURLToPath(import.meta.url)));", /own folder/],
  ["read(path.dirname(import.meta.filename));", /own folder/],
  ["new URL(name, import.meta.url);", /computed URL/],
  ['new URL("./worker.ts", import.meta.url);', /loaded by its URL/],
  ['new URL("./addon.node", import.meta.url);', /loaded by its URL/],
  ['new URL("../data/", import.meta.url);', /folder/],
  ['new URL(".", import.meta.url);', /folder/],
];

const traceable = [
  'await import("./lazy.ts");',
  "await import(`./lazy.ts`);",
  "await import(/* @vite-ignore */ name);",
  "await import(/* webpackIgnore: true */ name);",
  'const x = require("dep");',
  'new URL("./data.csv", import.meta.url);',
  "new URL(path, base);",
  "if (process.argv[1] === import.meta.filename) main();",
  "if (process.argv[1] === fileURLToPath(import.meta.url)) main();",
  "read(dirname(file));",
];

describe("findUntraceable", () => {
  it.each(untraceable)("finds %s", (code, what) => {
    expect(code).toMatch(SUSPICIOUS);
    expect(findUntraceable(`let a;\n  ${code}`, "a.ts")).toEqual([
      { line: 2, column: expect.any(Number), what: expect.stringMatching(what) },
    ]);
  });

  it.each(traceable)("lets %s pass", (code) => {
    expect(findUntraceable(code, "a.ts")).toEqual([]);
  });

  it("says where, counted in characters also behind others than ASCII", () => {
    expect(findUntraceable('const a = "äöü😀";\nawait import(a);', "a.ts")).toEqual([
      { line: 2, column: 7, what: "import() of a computed path" },
    ]);
  });

  it("reads TypeScript and CommonJS", () => {
    expect(findUntraceable("enum A { B }\nimport(A.B as string);", "a.ts")).toHaveLength(1);
    expect(findUntraceable("module.exports = (n) => require(n);", "a.cjs")).toHaveLength(1);
  });
});
