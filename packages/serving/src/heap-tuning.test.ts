import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { z } from "zod";

const script = fileURLToPath(new URL("./young-generation.fixture.ts", import.meta.url));
const sizes = z.object({ loaded: z.number(), shrunk: z.number(), again: z.number() });

it("lets the young generation grow again after the service idled", () => {
  const printed = execFileSync(process.execPath, ["--expose-gc", script], { encoding: "utf8" });
  const { loaded, shrunk, again } = sizes.parse(JSON.parse(printed));
  expect(loaded).toBeGreaterThanOrEqual(16);
  expect(shrunk).toBeLessThan(16);
  expect(again).toBeGreaterThanOrEqual(16);
}, 60_000);
