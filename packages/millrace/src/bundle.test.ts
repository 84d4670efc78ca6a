import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { expect, test } from "vitest";

/** Bundles a module that stands in this package, and returns the paths of everything that went into it. */
async function modulesOf(source: string): Promise<string[]> {
  const folder = await mkdtemp(join(import.meta.dirname, "../.bundle-"));
  try {
    await writeFile(join(folder, "pipeline.js"), source);
    const bundle = await rolldown({ input: join(folder, "pipeline.js"), platform: "node" });
    const { output } = await bundle.generate({ format: "esm" });
    await bundle.close();
    return output.flatMap((chunk) => (chunk.type === "chunk" ? chunk.moduleIds : []));
  } finally {
    await rm(folder, { recursive: true });
  }
}

test("the bundle of a pipeline holds the authoring API and neither the client nor the command", async () => {
  const modules = await modulesOf(
    'import { defineStep } from "millrace"; export default defineStep;',
  );
  expect(modules.some((path) => path.includes("packages/core/dist/authoring/step.js"))).toBe(true);
  expect(modules.filter((path) => /packages\/(control|cli|store|serving)\//.test(path))).toEqual(
    [],
  );
});

test("a module that connects brings the client along, so the test above can fail", async () => {
  const modules = await modulesOf('import { connect } from "millrace"; export default connect;');
  expect(modules.some((path) => path.includes("packages/control/"))).toBe(true);
});
