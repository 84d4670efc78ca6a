import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { SourceWatch } from "./source-watch.ts";

it("takes any source file for what may mend a build that failed, and nothing else", async () => {
  const folder = await mkdtemp(join(tmpdir(), "millrace-watch-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "pipeline.ts"), "");
  const watch = new SourceWatch(join(folder, "pipeline.ts"));
  onTestFinished(() => watch.close());
  watch.watchAll();
  for (const name of ["missing.mts", "dev.log", ".hidden.ts", "pipeline.ts~"])
    await writeFile(join(folder, name), "");
  // The last one that counts.
  expect(await watch.nextChange(AbortSignal.timeout(10_000))).toBe(join(folder, "missing.mts"));
});
