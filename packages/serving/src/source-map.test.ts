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

it("leaves out the frames of Millrace and of Node's insides, unless there are no others", async () => {
  const code = await file("pipeline.mjs", map);
  const core = await file("core.mjs", map.replace("src/pipeline.ts", "@millrace/core/dist/run.js"));
  const inside = [
    `    at run (${new URL("engine.js", import.meta.url).href}:1:1)`,
    "    at AsyncLocalStorage.run (node:internal/async_local_storage/async_context_frame:65:14)",
  ];
  const stack = ["Error: no", `    at fetch (${code}:1:1)`, `    at call (${core}:1:1)`, ...inside];
  expect(originalStack(stack.join("\n"))).toBe("Error: no\n    at fetch (src/pipeline.ts:12:1)");
  const ours = ["Error: no", ...inside].join("\n");
  expect(originalStack(ours)).toBe(ours);
  expect(originalStack(ours, true)).toBe("Error: no");
  expect(originalStack(stack.join("\n"), true)).toBe(originalStack(stack.join("\n")));
});

it("leaves alone what has no map, and what has a broken one", async () => {
  const stack = [
    "Error: no",
    `    at run (${await file("plain.mjs")}:1:1)`,
    `    at run (${await file("broken.mjs", "{")}:1:1)`,
    "    at (file://host/x.mjs:1:1)",
    "    at <anonymous>",
  ].join("\n");
  expect(originalStack(stack)).toBe(stack);
});
