import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, it } from "vitest";
import { originalStack } from "./source-map.ts";

/** A file and, where mappings are given, its map. */
async function file(name: string, map?: string): Promise<string> {
  const path = join(await mkdtemp(join(tmpdir(), "millrace-map-")), name);
  await writeFile(path, "");
  if (map !== undefined) await writeFile(`${path}.map`, map);
  return pathToFileURL(path).href;
}

/** Its first line comes from line 12 of pipeline.ts, column by column. */
const map = JSON.stringify({
  version: 3,
  names: [],
  sources: ["src/pipeline.ts"],
  mappings: "AAWA",
});

it("puts the places of the sources in place of those of the code", async () => {
  const code = await file("pipeline.mjs", map);
  expect(
    originalStack(`Error: no (file:///x)\n    at run (${code}:1:1)\n    at async ${code}:1:5`),
  ).toBe(
    "Error: no (file:///x)\n    at run (src/pipeline.ts:12:1)\n    at async src/pipeline.ts:12:5",
  );
});

it("leaves alone what has no map, and what has a broken one", async () => {
  const stack = [
    "Error: no",
    `    at run (${await file("plain.mjs")}:1:1)`,
    `    at run (${await file("broken.mjs", "{")}:1:1)`,
    "    at process.processTicks (node:internal/process/task_queues:103:5)",
    "    at (file://host/x.mjs:1:1)",
    "    at <anonymous>",
  ].join("\n");
  expect(originalStack(stack)).toBe(stack);
});
