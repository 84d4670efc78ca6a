import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { SnapshotManifest } from "@millrace/core";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { ArtifactStore, digestOf, snapshotId } from "./artifact-store.ts";
import { makeProject, packageFiles } from "./project.fixture.ts";

const code = Buffer.from("export default 1;");
const files = new Map<string, Uint8Array>([
  ["pipeline.mjs", code],
  ["deep/asset.csv", Buffer.from("a,b")],
]);

function manifestOf(
  name: string,
  externals: Readonly<Record<string, string>> = {},
): SnapshotManifest {
  return {
    version: 1,
    pipeline: {
      name,
      description: null,
      entry: "pipeline.mjs",
      export: "default",
      graph: { steps: [], outputs: {} },
      inputSchema: {},
      outputSchema: {},
      secrets: [],
    },
    settings: { serving: {}, deployer: {} },
    files: Object.fromEntries(
      [...files].map(([path, content]) => [
        path,
        { digest: digestOf(content), size: content.byteLength },
      ]),
    ),
    externals,
    node: "22.18.0",
  };
}

let root = "";
let store = new ArtifactStore(root);

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "millrace-artifacts-"));
  onTestFinished(() => rm(root, { recursive: true }));
  store = new ArtifactStore(root);
});

const manifest = manifestOf("sample");
const id = snapshotId(manifest);
const inStore = (path: string): string => join(store.directory(id), path);

describe("ArtifactStore", () => {
  it("keeps a snapshot under its digest and gives it back", async () => {
    expect(await store.put(manifest, files, [])).toBe(id);
    expect(store.has(id)).toBe(true);
    expect(await store.manifest(id)).toEqual(manifest);
    expect(await readFile(inStore("deep/asset.csv"), "utf8")).toBe("a,b");
    expect(store.runDirectory(id, manifest)).toBe(store.directory(id));
    expect(await readdir(join(root, "staging"))).toEqual([]);
  });

  it("keeps what was stored at the same time by several, whole", async () => {
    const ids = await Promise.all(
      Array.from({ length: 8 }, () => new ArtifactStore(root).put(manifest, files, [])),
    );
    expect(new Set(ids)).toEqual(new Set([id]));
    expect(await store.isIntact(id)).toBe(true);
    expect(await readdir(join(root, "staging"))).toEqual([]);
  });

  it.each([
    [
      "a changed file",
      () => writeFile(inStore("pipeline.mjs"), "export default 2;"),
      "SNAPSHOT_CORRUPT",
      /pipeline\.mjs/,
    ],
    ["a missing file", () => rm(inStore("deep/asset.csv")), "SNAPSHOT_CORRUPT", /deep\/asset\.csv/],
    [
      "a changed manifest",
      () => writeFile(inStore("manifest.json"), "{}"),
      "SNAPSHOT_CORRUPT",
      /manifest\.json/,
    ],
    ["a missing manifest", () => rm(inStore("manifest.json")), "SNAPSHOT_GONE", /not in/],
  ])(
    "notices %s, and heals it when the snapshot is made again",
    async (_case, damage, errorCode, message) => {
      await store.put(manifest, files, []);
      await damage();
      await expect(store.verify(id)).rejects.toMatchObject({
        code: errorCode,
        message: expect.stringMatching(message),
      });
      expect(await store.isIntact(id)).toBe(false);
      await store.put(manifest, files, []);
      expect(await store.isIntact(id)).toBe(true);
      expect(await readdir(join(root, "staging"))).toEqual([]);
    },
  );

  it("refuses a manifest of a newer form by name", async () => {
    const text = JSON.stringify({ ...manifest, version: 2 });
    const newer = digestOf(text);
    await mkdir(store.directory(newer), { recursive: true });
    await writeFile(join(store.directory(newer), "manifest.json"), text);
    await expect(store.manifest(newer)).rejects.toMatchObject({ code: "SNAPSHOT_INVALID" });
  });

  it("leaves nothing half-written when a file cannot be written", async () => {
    // A path that goes through a file stands for every failure of the disk.
    const bad = new Map([...files, ["pipeline.mjs/below", code]]);
    await expect(store.put(manifest, bad, [])).rejects.toMatchObject({
      code: "ARTIFACTS_UNWRITABLE",
      action: expect.stringMatching(/store\.artifacts/),
    });
    expect(store.has(id)).toBe(false);
    expect(await readdir(join(root, "staging"))).toEqual([]);
  });

  it.skipIf(process.getuid?.() === 0)("says so when the folder cannot be written", async () => {
    await chmod(root, 0o500);
    await expect(store.put(manifest, files, [])).rejects.toMatchObject({
      code: "ARTIFACTS_UNWRITABLE",
    });
    await chmod(root, 0o700);
  });

  it("removes what a dead process left while it wrote, and not what a living one writes", async () => {
    for (const name of ["old", "new"])
      await mkdir(join(root, "staging", name), { recursive: true });
    await utimes(join(root, "staging", "old"), 0, 0);
    await store.put(manifest, files, []);
    expect(await readdir(join(root, "staging"))).toEqual(["new"]);
  });

  it("deletes a snapshot with its folder to run from", async () => {
    await store.put(manifest, files, []);
    await store.delete(id);
    expect(store.has(id)).toBe(false);
    await expect(store.manifest(id)).rejects.toMatchObject({
      code: "SNAPSHOT_GONE",
      class: "not_found",
    });
  });

  it("runs a snapshot with external packages from a folder that has them and all that they need", async () => {
    const { root: project } = await makeProject({
      ...packageFiles(
        "native",
        { version: "1.2.3", dependencies: { helper: "1", other: "2" } },
        { "index.js": "", "build/x.node": "binary" },
      ),
      ...packageFiles(
        "helper",
        {
          peerDependencies: { native: "1", absent: "1" },
          optionalDependencies: { "for-another-platform": "1" },
        },
        { "index.js": "" },
      ),
      ...packageFiles("other", { version: "1.0.0" }, { "index.js": "" }),
      "node_modules/native/node_modules/other/package.json":
        '{ "name": "other", "version": "2.0.0" }',
      ...packageFiles("unused", {}, { "index.js": "" }),
    });
    const native = {
      name: "native",
      version: "1.2.3",
      directory: join(project, "node_modules/native"),
    };
    const withNative = manifestOf("sample", { native: "1.2.3" });
    const nativeId = await store.put(withNative, files, [native]);
    const run = store.runDirectory(nativeId, withNative);
    expect(run).not.toBe(store.directory(nativeId));
    expect((await readdir(join(run, "node_modules"))).sort()).toEqual([
      "helper",
      "native",
      "other",
    ]);
    expect(
      JSON.parse(await readFile(join(run, "node_modules/other/package.json"), "utf8")),
    ).toMatchObject({ version: "2.0.0" });
    expect(await readFile(join(run, "node_modules/native/build/x.node"), "utf8")).toBe("binary");
    expect(await readFile(join(run, "pipeline.mjs"))).toEqual(code);
    await rm(run, { recursive: true });
    expect(await store.isIntact(nativeId)).toBe(false);
    expect(() => store.folderToRun(nativeId, withNative)).toThrow(
      expect.objectContaining({ code: "SNAPSHOT_GONE" }),
    );
  });

  it("keeps two versions of a package apart, each where the one that needs it finds it", async () => {
    const { root: project } = await makeProject({
      ...packageFiles("native", { dependencies: { one: "1", shared: "1" } }, {}),
      ...packageFiles("one", { dependencies: { shared: "2" } }, {}),
      ...packageFiles("shared", { version: "1.0.0" }, {}),
      "node_modules/one/node_modules/shared/package.json":
        '{ "name": "shared", "version": "2.0.0" }',
    });
    const withNative = manifestOf("sample", { native: "1.0.0" });
    const nativeId = await store.put(withNative, files, [
      { name: "native", version: "1.0.0", directory: join(project, "node_modules/native") },
    ]);
    const versionAt = async (path: string): Promise<string> =>
      JSON.parse(
        await readFile(
          join(store.runDirectory(nativeId, withNative), path, "package.json"),
          "utf8",
        ),
      ).version;
    // Which of the two lies on top does not matter: what native and one find does.
    const top = await versionAt("node_modules/shared");
    const seenByOne = await versionAt("node_modules/one/node_modules/shared").catch(() => top);
    const seenByNative = await versionAt("node_modules/native/node_modules/shared").catch(
      () => top,
    );
    expect({ seenByOne, seenByNative }).toEqual({ seenByOne: "2.0.0", seenByNative: "1.0.0" });
  });

  it("has the packages that the pipeline itself imports where it finds them, whatever versions others need", async () => {
    const { root: project } = await makeProject({
      ...packageFiles("early", { dependencies: { later: "1" } }, {}),
      ...packageFiles("also", { dependencies: { later: "1" } }, {}),
      ...packageFiles("later", { version: "2.0.0" }, { "two.js": "" }),
      "node_modules/early/node_modules/later/package.json":
        '{ "name": "later", "version": "1.0.0" }',
      "node_modules/early/node_modules/later/one.js": "",
    });
    await mkdir(join(project, "node_modules/also/node_modules"));
    await symlink(
      "../../early/node_modules/later",
      join(project, "node_modules/also/node_modules/later"),
    );
    const versions = { also: "1.0.0", early: "1.0.0", later: "2.0.0" };
    const withPackages = manifestOf("sample", versions);
    const packagesId = await store.put(
      withPackages,
      files,
      Object.entries(versions).map(([name, version]) => ({
        name,
        version,
        directory: join(project, "node_modules", name),
      })),
    );
    const run = store.runDirectory(packagesId, withPackages);
    const foundFrom = async (path: string): Promise<unknown> => {
      const folder = dirname(createRequire(join(run, path)).resolve("later/package.json"));
      const { version } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
      return { version, files: (await readdir(folder)).sort() };
    };
    const one = { version: "1.0.0", files: ["one.js", "package.json"] };
    expect(await foundFrom("pipeline.mjs")).toEqual({
      version: "2.0.0",
      files: ["package.json", "two.js"],
    });
    expect(await foundFrom("node_modules/early/index.js")).toEqual(one);
    expect(await foundFrom("node_modules/also/index.js")).toEqual(one);
  });
});
