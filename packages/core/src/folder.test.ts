import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { makeFolder } from "./folder.ts";

const root = mkdtempSync(join(tmpdir(), "millrace-folder-"));
afterAll(() => rmSync(root, { recursive: true }));

it("makes what is missing, for the owner alone, and says whether it did", () => {
  const path = join(root, "a/b/c");
  expect(makeFolder(path)).toBe(true);
  expect(makeFolder(path)).toBe(false);
  expect(statSync(path).isDirectory()).toBe(true);
  expect(statSync(join(root, "a")).mode & 0o777).toBe(0o700);
});

it("fails below a file", () => {
  writeFileSync(join(root, "file"), "");
  expect(() => makeFolder(join(root, "file/a/b"))).toThrow(/ENOTDIR/);
  expect(() => makeFolder(join(root, "file"))).toThrow(/EEXIST/);
});

it.runIf(process.platform === "linux")("fails at once where nothing can be made", () => {
  expect(() => makeFolder("/proc/nowhere/a")).toThrow(/ENOENT/);
});
