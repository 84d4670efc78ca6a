import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import type { PipelineSource } from "./source.ts";

const require = createRequire(import.meta.url);

/** The module of a pipeline with one step, whose body and imports are given. */
export function pipelineModule(body: string, imports = ""): string {
  return `import { definePipeline, defineStep } from "@millrace/core";
import { z } from "zod";
${imports}
const work = defineStep({
  name: "work",
  input: z.object({}),
  output: z.unknown(),
  run: async () => { ${body} },
});
export default definePipeline({ name: "sample", input: z.object({}), build: () => ({ out: work({}) }) });
`;
}

/** A user's project in a folder of its own, with what Millrace needs installed. It is removed after the test. */
export async function makeProject(
  files: Readonly<Record<string, string>>,
): Promise<{ readonly root: string; source(file?: string, name?: string): PipelineSource }> {
  const root = await mkdtemp(join(tmpdir(), "millrace-project-"));
  onTestFinished(() => rm(root, { recursive: true }));
  const all = { "package.json": '{ "name": "project", "type": "module" }', ...files };
  for (const [path, content] of Object.entries(all)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  }
  for (const name of ["@millrace/core", "zod"]) {
    const link = join(root, "node_modules", name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(dirname(require.resolve(`${name}/package.json`)), link);
  }
  return {
    root,
    source: (file = "pipeline.ts", name = "default") => ({
      file: join(root, file),
      export: name,
      root,
    }),
  };
}

/** Files of an installed package. */
export function packageFiles(
  name: string,
  manifest: Readonly<Record<string, unknown>>,
  files: Readonly<Record<string, string>>,
): Record<string, string> {
  const all = { "package.json": JSON.stringify({ name, version: "1.0.0", ...manifest }), ...files };
  return Object.fromEntries(
    Object.entries(all).map(([path, content]) => [`node_modules/${name}/${path}`, content]),
  );
}
