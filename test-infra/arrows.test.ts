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

/** Every module that a source file imports: static, dynamic, re-exported or for types alone. */
function importsOf(name: string, file: string): string[] {
  const text = readFileSync(join(packages, name, file), "utf8");
  const { module, errors } = parseSync(file, text);
  expect(errors).toEqual([]);
  const specifiers = [
    ...module.staticImports.map(({ moduleRequest }) => moduleRequest.value),
    ...module.staticExports.flatMap(({ entries }) =>
      entries.flatMap(({ moduleRequest }) => moduleRequest?.value ?? []),
    ),
    ...module.dynamicImports.map(({ moduleRequest }) =>
      text.slice(moduleRequest.start, moduleRequest.end).replace(/^["'`]|["'`]$/g, ""),
    ),
  ];
  return specifiers.flatMap((specifier) => shortName(specifier) ?? []);
}

const names = globSync("*/package.json", { cwd: packages }).map((file) =>
  basename(join(file, "..")),
);

describe("arrows between packages", () => {
  it.each(names)("%s imports only what it may", (name) => {
    const allowed = name.startsWith("deployer-") ? DEPLOYER_ARROWS : ARROWS[name];
    expect(allowed, `no arrows are listed for ${name}`).toBeDefined();
    const wrong = sourcesOf(name).flatMap((file) =>
      importsOf(name, file)
        .filter((target) => target !== name && !allowed?.includes(target))
        .map((target) => `${file} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  it.each(names)("%s depends only on what it may", (name) => {
    const manifest = JSON.parse(readFileSync(join(packages, name, "package.json"), "utf8")) as {
      readonly dependencies?: Readonly<Record<string, string>>;
      readonly peerDependencies?: Readonly<Record<string, string>>;
    };
    const allowed = [
      ...(name.startsWith("deployer-") ? DEPLOYER_ARROWS : (ARROWS[name] ?? [])),
      ...(SHIPPED[name] ?? []),
    ];
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
