import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Fixtures } from "./fixtures.ts";
import type { Harness, Platform } from "./harness.ts";
import { runSuite } from "./run.ts";

/** For checks that deploy nothing. */
const fixtures: Fixtures = {
  requestsFor: async () => new Map(),
  copyTo: async () => {},
  close: async () => {},
};
const platform: Platform = {
  settings: {},
  list: async () => [],
  faults: {},
  restore: async () => {},
  close: async () => {},
};

function harnessWith(changes: Pick<Harness, "setup"> & Partial<Harness>): Harness {
  return {
    name: "mine",
    plugin: new URL("./fake/plugin.ts", import.meta.url).href,
    flavor: "fake",
    serves: "fake",
    otherSettings: {},
    ...changes,
  };
}

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "millrace-run-"));
  vi.stubEnv("TMPDIR", folder);
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

describe("a setup", () => {
  it("that fails leaves no folder", async () => {
    const harness = harnessWith({ setup: () => Promise.reject(new Error("no engine")) });
    const { results } = await runSuite(harness, { only: ["FLAV-01"], fixtures });
    expect(results).toMatchObject([
      { outcome: "failed", reason: expect.stringContaining("no engine") },
    ]);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("that takes too long is closed when it is done after all, before the run ends", async () => {
    const givenUp = Promise.withResolvers<void>();
    const events: string[] = [];
    const harness = harnessWith({
      setupTimeoutSeconds: 0.05,
      setup: async () => {
        await givenUp.promise;
        return { ...platform, close: async () => void events.push("platform closed") };
      },
      close: async () => void events.push("harness closed"),
    });
    const onResult = () => givenUp.resolve();
    const { results } = await runSuite(harness, { only: ["FLAV-01"], fixtures, onResult });
    expect(results).toMatchObject([
      { outcome: "failed", reason: expect.stringContaining("not done after 0.05 seconds") },
    ]);
    expect(events).toEqual(["platform closed", "harness closed"]);
    expect(readdirSync(folder)).toEqual([]);
  });
});
