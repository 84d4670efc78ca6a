import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { expect, test } from "vitest";

/** Paths of all modules that a bundler reads for a module that stands in this package. */
async function modulesReadFor(source: string): Promise<string[]> {
  const folder = await mkdtemp(join(import.meta.dirname, "../.bundle-"));
  try {
    await writeFile(join(folder, "pipeline.js"), source);
    const bundle = await rolldown({ input: join(folder, "pipeline.js"), platform: "node" });
    await bundle.generate({ format: "esm" });
    const files = await bundle.watchFiles;
    await bundle.close();
    return files;
  } finally {
    await rm(folder, { recursive: true });
  }
}

const ofMillrace = (files: readonly string[]) => [
  ...new Set(files.flatMap((file) => /packages\/([a-z-]+)\/dist\//.exec(file)?.[1] ?? [])),
];

test("for a pipeline a bundler reads the authoring API and neither the client nor the command", async () => {
  const files = await modulesReadFor(
    'import { defineStep } from "millrace"; export default defineStep;',
  );
  expect(ofMillrace(files).sort()).toEqual(["core", "millrace"]);
});

test("a module that imports the client itself brings it along, so the test above can fail", async () => {
  const files = await modulesReadFor(
    'import { connect } from "@millrace/control"; export default connect;',
  );
  expect(ofMillrace(files)).toContain("control");
});
