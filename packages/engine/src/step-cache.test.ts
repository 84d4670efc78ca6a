import { mkdtemp, open, readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { cacheKey, folderStepCache, isJson, memoryStepCache } from "./step-cache.ts";

const folder = () => mkdtemp(join(tmpdir(), "millrace-cache-"));
const key = (n: number) => n.toString(16).padStart(64, "0");

describe("cacheKey", () => {
  it("is the same for equal inputs in any order of keys, and differs by snapshot, step and input", () => {
    expect(cacheKey("s", "a", { x: 1, y: [2] })).toBe(cacheKey("s", "a", { y: [2], x: 1 }));
    const keys = [
      cacheKey("s", "a", 1),
      cacheKey("t", "a", 1),
      cacheKey("s", "b", 1),
      cacheKey("s", "a", "1"),
    ];
    expect(new Set(keys).size).toBe(4);
  });

  it.each([
    ["a map", new Map()],
    ["a date", new Date()],
    ["a bigint", 1n],
    ["no number", Number.NaN],
    ["a function inside", { a: [() => 1] }],
    ["nothing", undefined],
  ])("is missing for %s, which JSON would lose something of", (_what, input) => {
    expect(cacheKey("s", "a", input)).toBeUndefined();
  });

  it("takes every JSON value", () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => isJson(value)));
    const circle: unknown[] = [];
    circle.push(circle);
    expect(isJson(circle)).toBe(false);
  });
});

describe.each([
  ["in memory", async () => memoryStepCache()],
  ["in a folder", async () => folderStepCache(join(await folder(), "cache"))],
])("the cache %s", (_name, make) => {
  it("gives back what it was given, until that is too old", async () => {
    const cache = await make();
    expect(await cache.get(key(1))).toBeUndefined();
    await cache.set(key(1), "[1]", 60);
    expect(await cache.get(key(1))).toBe("[1]");
    vi.useFakeTimers({ now: Date.now() + 61_000, toFake: ["Date"] });
    try {
      expect(await cache.get(key(1))).toBeUndefined();
    } finally {
      vi.useRealTimers();
    }
    expect(await cache.get(key(1))).toBeUndefined();
  });
});

describe("the cache in memory", () => {
  it("drops what was used longest ago when it is full", () => {
    const cache = memoryStepCache(500);
    cache.set("a", "aa", 60);
    cache.set("b", "bb", 60);
    cache.set("c", "cc", 60);
    cache.get("a");
    cache.set("d", "dd", 60);
    cache.set("huge", "x".repeat(400), 60);
    expect(["a", "b", "c", "d", "huge"].map((name) => cache.get(name))).toEqual([
      "aa",
      undefined,
      "cc",
      "dd",
      undefined,
    ]);
  });

  it("counts what small outputs take beside their text", () => {
    const cache = memoryStepCache(100_000);
    const keys = Array.from({ length: 1000 }, (_, n) => key(n));
    for (const each of keys) cache.set(each, "1", 60);
    // 64 characters of the key, one of the text, and what an entry takes by itself.
    expect(keys.filter((each) => cache.get(each) !== undefined)).toHaveLength(465);
  });
});

describe("the cache in a folder", () => {
  it("is shared by processes, takes a damaged file for a miss, and clears away what is too old", async () => {
    const directory = await folder();
    await folderStepCache(directory).set(key(1), "1", 60);
    await folderStepCache(directory).set(key(2), "2", 0.000001);
    await writeFile(join(directory, key(3)), "{half");
    const other = folderStepCache(directory);
    expect(await other.get(key(1))).toBe("1");
    expect(await other.get(key(3))).toBeUndefined();
    await other.set(key(4), "4", 60);
    expect((await readdir(directory)).sort()).toEqual([key(1), key(3), key(4)]);
  });

  // What a process has open can be read there and not deleted, by root neither.
  it.runIf(process.platform === "linux")(
    "misses what is too old where it may not delete",
    async () => {
      const file = join(await folder(), "entry");
      await writeFile(file, JSON.stringify({ text: "1", expiresAt: 0 }));
      await using opened = await open(file);
      const { get } = folderStepCache("/proc/self/fd");
      await expect(get(String(opened.fd))).resolves.toBeUndefined();
    },
  );

  it.runIf(process.platform === "linux")("fails at once where no folder can be made", async () => {
    const cache = folderStepCache("/proc/nowhere/cache");
    await expect(cache.set(key(1), "1", 60)).rejects.toThrow(/ENOENT/);
    expect(await cache.get(key(1))).toBeUndefined();
  });
});
