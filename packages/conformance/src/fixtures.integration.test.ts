import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, vi } from "vitest";
import { z } from "zod";
import { fakeFlavor } from "./fake/plugin.ts";
import { makeFixtures } from "./fixtures.ts";

it("fixtures that cannot be made leave no folder", async () => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-fixtures-"));
  vi.stubEnv("TMPDIR", folder);
  try {
    const settings = z.strictObject({}).refine(() => false, "none are right");
    const making = makeFixtures({ ...fakeFlavor, settings });
    await expect(making).rejects.toThrow("none are right");
    expect(readdirSync(folder)).toEqual([]);
  } finally {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  }
});
