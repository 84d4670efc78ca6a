import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { ImagePlatform } from "@millrace/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LayerFile } from "../files.ts";
import { quiet, scratchFolder, text } from "../scratch.fixture.ts";
import { installDependencies } from "./install.ts";
import { elf, type NpmRegistry, type Published, startNpmRegistry } from "./npm-registry.fixture.ts";

const HOST: ImagePlatform = {
  os: "linux",
  architecture: process.arch === "arm64" ? "arm64" : "amd64",
};
const OTHER: ImagePlatform = {
  os: "linux",
  architecture: HOST.architecture === "amd64" ? "arm64" : "amd64",
};
const CPU = { amd64: "x64", arm64: "arm64" } as const;

function forPlatform(name: string, architecture: keyof typeof CPU, libc?: string): Published {
  const cpu = CPU[architecture];
  const limits = { os: ["linux"], cpu: [cpu], ...(libc === undefined ? {} : { libc: [libc] }) };
  return {
    manifest: { name, version: "1.2.3", ...limits },
    files: { "addon.node": elf(cpu) },
  };
}

const PACKAGES: readonly Published[] = [
  {
    manifest: {
      name: "native",
      version: "1.2.3",
      gypfile: true,
      dependencies: { helper: "^1.0.0", other: "*" },
      optionalDependencies: {
        "@native/linux-amd64": "1.2.3",
        "@native/linux-arm64": "1.2.3",
        "@native/linux-amd64-musl": "1.2.3",
        "@native/linux-arm64-musl": "1.2.3",
      },
    },
    files: { "index.js": text("native") },
  },
  forPlatform("@native/linux-amd64", "amd64", "glibc"),
  forPlatform("@native/linux-arm64", "arm64", "glibc"),
  forPlatform("@native/linux-amd64-musl", "amd64", "musl"),
  forPlatform("@native/linux-arm64-musl", "arm64", "musl"),
  { manifest: { name: "helper", version: "1.0.0" }, files: { "index.js": text("helper 1.0.0") } },
  { manifest: { name: "helper", version: "1.9.0" }, files: { "index.js": text("helper 1.9.0") } },
  { manifest: { name: "helper", version: "2.0.0" }, files: { "index.js": text("helper 2.0.0") } },
  {
    manifest: { name: "other", version: "1.0.0", dependencies: { helper: ">=1" } },
    files: { "index.js": text("other") },
  },
  {
    manifest: { name: "compiled", version: "1.0.0", gypfile: true },
    files: { "binding.gyp": text("{}") },
  },
  {
    manifest: {
      name: "choosy",
      version: "1.0.0",
      optionalDependencies: { compiled: "1.0.0" },
    },
    files: { "index.js": text("choosy") },
  },
  { manifest: { name: "local", version: "1.0.0" }, files: {} },
];

const folder = scratchFolder();
const project = join(folder, "project");
let registry: NpmRegistry;

/** Puts a package where a package manager would. */
function installed(name: string, version: string, at: string): void {
  const found = PACKAGES.find(
    (one) => one.manifest.name === name && one.manifest.version === version,
  );
  if (found === undefined) throw new Error(`There is no ${name} ${version}.`);
  const files = { "package.json": text(JSON.stringify(found.manifest)), ...found.files };
  for (const [path, content] of Object.entries(files)) {
    const file = join(project, at, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
}

beforeAll(async () => {
  registry = await startNpmRegistry(PACKAGES.filter(({ manifest }) => manifest.name !== "local"));
  mkdirSync(project);
  const cache = join(folder, "npm-cache");
  writeFileSync(join(project, ".npmrc"), `registry=${registry.url}\ncache=${cache}\n`);
  installed("native", "1.2.3", "node_modules/native");
  installed("other", "1.0.0", "node_modules/other");
  installed("helper", "1.0.0", "node_modules/helper");
  installed("helper", "2.0.0", "node_modules/other/node_modules/helper");
  for (const libc of ["", "-musl"]) {
    const name = `@native/linux-${HOST.architecture}${libc}`;
    installed(name, "1.2.3", `node_modules/${name}`);
  }
  installed("compiled", "1.0.0", "node_modules/compiled");
  installed("local", "1.0.0", "node_modules/local");
  installed("choosy", "1.0.0", "node_modules/choosy");
});
afterAll(() => registry.stop());

function install(packages: Readonly<Record<string, string>>, platform: ImagePlatform) {
  const cacheDirectory = join(folder, "cache");
  return installDependencies({
    ...quiet,
    packages,
    from: project,
    platform,
    at: "/app",
    cacheDirectory,
  });
}

const paths = (files: readonly LayerFile[]) => files.map(({ path }) => path).sort();

function contentAt(files: readonly LayerFile[], path: string): string {
  const found = files.find((file) => file.path === path);
  return found !== undefined && "file" in found ? readFileSync(found.file, "latin1") : "nothing";
}

describe("the packages that a bundle cannot hold", () => {
  it("are those of this machine, when the image is for its platform", async () => {
    const files = await install({ native: "1.2.3" }, HOST);
    expect(paths(files)).toEqual([
      `/app/node_modules/@native/linux-${HOST.architecture}/addon.node`,
      `/app/node_modules/@native/linux-${HOST.architecture}/package.json`,
      "/app/node_modules/helper/index.js",
      "/app/node_modules/helper/package.json",
      "/app/node_modules/native/index.js",
      "/app/node_modules/native/package.json",
      "/app/node_modules/other/index.js",
      "/app/node_modules/other/node_modules/helper/index.js",
      "/app/node_modules/other/node_modules/helper/package.json",
      "/app/node_modules/other/package.json",
    ]);
    expect(contentAt(files, "/app/node_modules/helper/index.js")).toBe("helper 1.0.0");
    expect(registry.asked).toEqual([]);
  });

  it("are installed for the image's platform when that is another, in the same versions", async () => {
    const files = await install({ native: "1.2.3" }, OTHER);
    const native = `/app/node_modules/@native/linux-${OTHER.architecture}`;
    expect(paths(files)).toEqual([
      `${native}/addon.node`,
      `${native}/package.json`,
      "/app/node_modules/helper/index.js",
      "/app/node_modules/helper/package.json",
      "/app/node_modules/native/index.js",
      "/app/node_modules/native/package.json",
      "/app/node_modules/other/index.js",
      "/app/node_modules/other/node_modules/helper/index.js",
      "/app/node_modules/other/node_modules/helper/package.json",
      "/app/node_modules/other/package.json",
    ]);
    const helpers = ["", "other/node_modules/"].map((at) =>
      contentAt(files, `/app/node_modules/${at}helper/index.js`),
    );
    expect(helpers.sort()).toEqual(["helper 1.0.0", "helper 2.0.0"]);
  });

  it("are not installed a second time", async () => {
    const before = await install({ native: "1.2.3" }, OTHER);
    const asked = registry.asked.length;
    expect(await install({ native: "1.2.3" }, OTHER)).toEqual(before);
    expect(registry.asked).toHaveLength(asked);
  });

  it.each([
    ["not installed", { absent: "1.0.0" }, OTHER, "DEPENDENCY_MISSING", "absent"],
    ["installed in another version", { native: "1.0.0" }, HOST, "DEPENDENCY_CHANGED", "native"],
    ["not in the registry", { local: "1.0.0" }, OTHER, "DEPENDENCIES_FAILED", "local"],
    ["only compiled here", { compiled: "1.0.0" }, OTHER, "DEPENDENCY_NOT_PORTABLE", "compiled"],
  ] as const)("that are %s are named", async (_, packages, platform, code, name) => {
    await expect(install(packages, platform)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(name),
    });
  });

  it("may lack native code of what they need only optionally", async () => {
    const files = await install({ choosy: "1.0.0" }, OTHER);
    expect(paths(files)).toContain("/app/node_modules/choosy/index.js");
  });

  it("are none, when there are none", async () => {
    expect(await install({}, OTHER)).toEqual([]);
  });
});
