import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { withLock } from "./lock.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "millrace-lock-"));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("one at a time does its work, whatever the others do", async () => {
  const file = join(folder, "lock");
  let inside = 0;
  let most = 0;
  const work = (fails: boolean) =>
    withLock(file, undefined, async () => {
      inside += 1;
      most = Math.max(most, inside);
      expect(readdirSync(folder)).toEqual(["lock"]);
      await turn();
      inside -= 1;
      if (fails) throw new Error("failed");
      return "done";
    });
  const results = await Promise.allSettled([work(false), work(true), work(false), work(false)]);
  expect(most).toBe(1);
  expect(readdirSync(folder)).toEqual(["lock"]);
  expect(results.map(({ status }) => status)).toEqual([
    "fulfilled",
    "rejected",
    "fulfilled",
    "fulfilled",
  ]);
});

test("who waits can be called off", async () => {
  const file = join(folder, "lock");
  await withLock(file, undefined, async () => {
    const signal = AbortSignal.timeout(5);
    await expect(withLock(file, signal, async () => {})).rejects.toThrow();
  });
});

test("nobody but its owner can open the lock", async () => {
  const file = join(folder, "lock");
  await withLock(file, undefined, async () => {
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });
});
