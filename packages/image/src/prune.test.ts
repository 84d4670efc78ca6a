import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openCache } from "./cache.ts";
import { single } from "./chunks.ts";
import { prune } from "./prune.ts";
import { scratchFolder, text } from "./scratch.fixture.ts";
import { imageOf } from "./small-image.fixture.ts";

const folder = scratchFolder();
const DAY_MS = 24 * 60 * 60_000;

function age(path: string, days: number): void {
  const then = (Date.now() - days * DAY_MS) / 1000;
  utimesSync(path, then, then);
}

function ageAll(directory: string, days: number): void {
  for (const path of readdirSync(directory, { recursive: true, encoding: "utf8" }))
    age(join(directory, path), days);
}

it("what was not used for a month goes, what was used stays", async () => {
  const directory = join(folder, "unused");
  const cache = openCache(directory);
  const used = await cache.write(single(text("used")));
  const unused = await cache.write(single(text("unused")));
  await cache.note("tags", "used", { digest: used.digest });
  await cache.note("tags", "unused", { digest: unused.digest });
  mkdirSync(join(directory, "dependencies/unused/node_modules"), { recursive: true });
  ageAll(directory, 40);
  expect(await cache.size(used.digest)).toBe(used.size);
  expect(await cache.recall("tags", "used")).toEqual({ digest: used.digest });
  await prune(directory);
  expect(await cache.size(used.digest)).toBe(used.size);
  expect(await cache.size(unused.digest)).toBeNull();
  expect(await cache.recall("tags", "used")).toEqual({ digest: used.digest });
  expect(await cache.recall("tags", "unused")).toBeNull();
  expect(readdirSync(join(directory, "dependencies"))).toEqual([]);
});

it("what a process left behind goes after a day", async () => {
  const directory = join(folder, "leftovers");
  mkdirSync(join(directory, "blobs"), { recursive: true });
  const [old, fresh] = ["old", "fresh"].map((name) => join(directory, "blobs", `${name}.part`));
  for (const path of [old ?? "", fresh ?? ""]) writeFileSync(path, "");
  age(old ?? "", 2);
  await prune(directory);
  expect(readdirSync(join(directory, "blobs"))).toEqual(["fresh.part"]);
});

it("is looked at once a day", async () => {
  const directory = join(folder, "daily");
  await imageOf("first", directory);
  const cache = openCache(directory);
  const { digest } = await cache.write(single(text("old")));
  const path = join(directory, "blobs", digest.replace(":", "/"));
  age(path, 40);
  await imageOf("second", directory);
  expect(existsSync(path)).toBe(true);
  age(join(directory, "pruned"), 2);
  await imageOf("third", directory);
  expect(existsSync(path)).toBe(false);
});

it("a cache that cannot be written says so", async () => {
  const file = join(folder, "file");
  writeFileSync(file, "");
  await expect(imageOf("nowhere", file)).rejects.toMatchObject({ code: "IMAGE_CACHE_UNWRITABLE" });
});
