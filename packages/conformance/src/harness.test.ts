import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readExpectedFailures } from "./expected-failures.ts";
import { loadFlavor, loadHarness } from "./harness.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "millrace-harness-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

describe("a harness file", () => {
  it.each([
    ["that does not exist", null, /cannot be loaded/],
    ["that throws", "throw new Error('broken inside')", /broken inside/],
    ["without a default export", "export const harness = {}", /no default export/],
    ["of the wrong form", "export default { name: 'mine' }", /must have name \(string\), plugin/],
  ])("%s is refused with what to do", async (_what, text, message) => {
    const path = text === null ? join(folder, "missing.mjs") : file("harness.mjs", text);
    const rejected = expect(loadHarness(path)).rejects;
    await rejected.toThrow(message);
    await expect(loadHarness(path)).rejects.toMatchObject({
      class: "usage",
      code: "HARNESS_INVALID",
    });
  });

  it("whose plugin lacks the flavor is told which there are", async () => {
    const plugin = file(
      "plugin.mjs",
      "export default { contract: 1, name: 'mine', flavors: [{ name: 'one' }] }",
    );
    await expect(loadFlavor({ plugin, flavor: "two" })).rejects.toThrow(
      /no flavor "two"; it has one/,
    );
    await expect(loadFlavor({ plugin: join(folder, "none.mjs"), flavor: "two" })).rejects.toThrow(
      /cannot be loaded/,
    );
  });
});

describe("a file of expected failures", () => {
  it("is read", async () => {
    const path = file(
      "expected.json",
      '{"plan-no-op": "the platform counts every call as a change"}',
    );
    expect(await readExpectedFailures(path)).toHaveProperty("plan-no-op");
  });

  it.each([
    ["an id that no check has", '{"plan-noop": "why"}', /did you mean "plan-no-op"/],
    ["no reason", '{"plan-no-op": ""}', /must say why/],
    ["no JSON", "plan-no-op", /cannot be read/],
  ])("with %s is refused", async (_what, text, message) => {
    await expect(readExpectedFailures(file("expected.json", text))).rejects.toThrow(message);
  });
});
