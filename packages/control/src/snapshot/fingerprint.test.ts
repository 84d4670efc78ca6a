import { rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Fingerprints } from "./fingerprint.ts";
import { makeProject } from "./project.fixture.ts";

const snapshot = `sha256:${"0".repeat(64)}`;
const LATER = Date.now() + 60_000;

async function remembered() {
  const { root, source } = await makeProject({ "pipeline.ts": "1", "lib.ts": "1" });
  const cache = join(root, "cache");
  const entry = source();
  const path = (name: string): string => join(root, name);
  await new Fingerprints(cache, "maker 1").remember(entry, snapshot, [path("lib.ts")], LATER);
  return { cache, entry, path, find: () => new Fingerprints(cache, "maker 1").find(entry) };
}

describe("Fingerprints", () => {
  it("finds the snapshot of unchanged sources", async () => {
    const { find, path } = await remembered();
    expect(await find()).toMatchObject({ made: snapshot });
    expect((await find())?.sources).toEqual(
      expect.arrayContaining([path("pipeline.ts"), path("lib.ts")]),
    );
  });

  it("finds it although a file was touched or written again with the same content", async () => {
    const { find, path } = await remembered();
    await utimes(path("lib.ts"), 1, 1);
    await writeFile(path("pipeline.ts"), "1");
    expect(await find()).toMatchObject({ made: snapshot });
  });

  it.each([
    [
      "the entry has another content of the same size",
      (path: (name: string) => string) => writeFile(path("pipeline.ts"), "2"),
    ],
    ["an imported file grew", (path: (name: string) => string) => writeFile(path("lib.ts"), "12")],
    ["an imported file is gone", (path: (name: string) => string) => rm(path("lib.ts"))],
    [
      "package.json says something else",
      (path: (name: string) => string) => writeFile(path("package.json"), "{}"),
    ],
  ])("finds nothing when %s", async (_case, change) => {
    const { find, path } = await remembered();
    await change(path);
    expect(await find()).toBeNull();
  });

  it("finds nothing for another version of Millrace, another export, or a broken cache", async () => {
    const { cache, entry, find } = await remembered();
    expect(await new Fingerprints(cache, "maker 2").find(entry)).toBeNull();
    expect(await new Fingerprints(cache, "maker 1").find({ ...entry, export: "other" })).toBeNull();
    const { readdir } = await import("node:fs/promises");
    for (const name of await readdir(cache)) await writeFile(join(cache, name), "{");
    expect(await find()).toBeNull();
  });

  it("does not remember sources that were written while they were bundled", async () => {
    const { root, source } = await makeProject({ "pipeline.ts": "1" });
    const fingerprints = new Fingerprints(join(root, "cache"), "maker");
    const readSince = Date.now() - 60_000;
    await fingerprints.remember(source(), snapshot, [], readSince);
    expect(await fingerprints.find(source())).toBeNull();
  });

  it("does not stand in the way where it cannot be kept", async () => {
    const { root, source } = await makeProject({ "pipeline.ts": "1", cache: "no folder" });
    const fingerprints = new Fingerprints(join(root, "cache", "below"), "maker");
    await fingerprints.remember(source(), snapshot, [], LATER);
    expect(await fingerprints.find(source())).toBeNull();
  });
});
