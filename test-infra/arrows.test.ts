import { globSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseSync } from "rolldown/experimental";
import { describe, expect, it } from "vitest";

const packages = fileURLToPath(new URL("../packages/", import.meta.url));

/** Which packages of ours a package may import. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  core: [],
  engine: ["core"],
  store: ["core"],
  image: ["core"],
  serving: ["core", "engine", "store"],
  control: ["core", "store", "image"],
  cli: ["core", "control"],
  millrace: ["core", "control", "cli"],
  conformance: ["core", "control"],
};
const DEPLOYER_ARROWS: readonly string[] = ["core"];

/** Dependencies that are shipped or found, and not imported. */
const SHIPPED: Readonly<Record<string, readonly string[]>> = {
  control: ["serving"],
  millrace: ["deployer-local"],
};

function shortName(specifier: string): string | undefined {
  if (specifier === "millrace" || specifier.startsWith("millrace/")) return "millrace";
  return /^@millrace\/([a-z-]+)/.exec(specifier)?.[1];
}

function sourcesOf(name: string): string[] {
  return globSync("src/**/*.ts", { cwd: join(packages, name), exclude: ["**/*.test.ts"] });
}

/** The modules named by `import("…")` in types, which the parser's list of imports leaves out. */
function importTypesIn(node: unknown): string[] {
  if (typeof node !== "object" || node === null) return [];
  const own =
    "type" in node && node.type === "TSImportType" && "source" in node ? [node.source] : [];
  return [
    ...own.flatMap((source) =>
      typeof source === "object" && source !== null && "value" in source
        ? [String(source.value)]
        : [],
    ),
    ...Object.values(node).flatMap(importTypesIn),
  ];
}

/** Our packages that a source text imports: static, dynamic, re-exported or for types alone. */
function importsIn(file: string, text: string): string[] {
  const { module, program, errors } = parseSync(file, text);
  expect(errors).toEqual([]);
  const specifiers = [
    ...module.staticImports.map(({ moduleRequest }) => moduleRequest.value),
    ...module.staticExports.flatMap(({ entries }) =>
      entries.flatMap(({ moduleRequest }) => moduleRequest?.value ?? []),
    ),
    ...module.dynamicImports.map(({ moduleRequest }) =>
      text.slice(moduleRequest.start, moduleRequest.end).replace(/^["'`]|["'`]$/g, ""),
    ),
    ...importTypesIn(program),
  ];
  return specifiers.flatMap((specifier) => shortName(specifier) ?? []);
}

function arrowsOf(name: string): readonly string[] | undefined {
  return name.startsWith("deployer-") ? DEPLOYER_ARROWS : ARROWS[name];
}

/** What a source text of the package imports and may not. */
function brokenArrows(name: string, file: string, text: string): string[] {
  return importsIn(file, text)
    .filter((target) => target !== name && !arrowsOf(name)?.includes(target))
    .map((target) => `${file} imports ${target}`);
}

const names = globSync("*/package.json", { cwd: packages }).map((file) =>
  basename(join(file, "..")),
);

describe("arrows between packages", () => {
  it.each(names)("%s imports only what it may", (name) => {
    expect(arrowsOf(name), `no arrows are listed for ${name}`).toBeDefined();
    const wrong = sourcesOf(name).flatMap((file) =>
      brokenArrows(name, file, readFileSync(join(packages, name, file), "utf8")),
    );
    expect(wrong).toEqual([]);
  });

  it.each([
    ["static", 'import { x } from "@millrace/control"; x();'],
    ["for its effects", 'import "@millrace/control";'],
    ["for types", 'import type { X } from "@millrace/control"; export const x: X = 1;'],
    ["re-exported", 'export * from "@millrace/control";'],
    ["dynamic", 'await import("@millrace/control");'],
    ["dynamic, in a template", "await import(`@millrace/control`);"],
    ["a type's import", 'export type X = import("@millrace/control").X;'],
    ["a type's typeof import", 'export type X = typeof import("@millrace/control");'],
    ["a subpath", 'import { x } from "@millrace/control/dev"; x();'],
  ])("an import that breaks them is found: %s", (_, text) => {
    expect(brokenArrows("engine", "x.ts", text)).toEqual(["x.ts imports control"]);
    expect(brokenArrows("deployer-local", "x.ts", text)).toEqual(["x.ts imports control"]);
    expect(brokenArrows("cli", "x.ts", text)).toEqual([]);
  });

  it.each(names)("%s depends only on what it may", (name) => {
    const manifest = JSON.parse(readFileSync(join(packages, name, "package.json"), "utf8")) as {
      readonly dependencies?: Readonly<Record<string, string>>;
      readonly peerDependencies?: Readonly<Record<string, string>>;
    };
    const allowed = [...(arrowsOf(name) ?? []), ...(SHIPPED[name] ?? [])];
    const wrong = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })
      .flatMap((dependency) => shortName(dependency) ?? [])
      .filter((target) => !allowed.includes(target));
    expect(wrong).toEqual([]);
  });
});

describe("flavors", () => {
  it("are named only by their own packages, and by the constant of the built-in stack", () => {
    const deployers = names.filter((name) => name.startsWith("deployer-"));
    const naming = names
      .filter((name) => !name.startsWith("deployer-"))
      .flatMap((name) => sourcesOf(name).map((file) => join(name, file)))
      .filter((file) =>
        deployers.some((deployer) =>
          readFileSync(join(packages, file), "utf8").includes(`@millrace/${deployer}`),
        ),
      );
    expect(naming).toEqual(["control/src/config/defaults.ts"]);
  });
});
