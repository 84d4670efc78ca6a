import { createHash } from "node:crypto";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  canonicalJson,
  MANIFEST_VERSION,
  type Pipeline,
  type ServiceConfig,
  type ServingSettingsInput,
  serviceConfigSchema,
} from "@millrace/core";

/** For tests: what a service is started with. */
export interface Fixture {
  /** The snapshot's folder. */
  readonly directory: string;
  readonly config: ServiceConfig;
  readonly variables: Readonly<Record<string, string>>;
}

export interface FixtureOptions {
  readonly serving?: ServingSettingsInput;
  readonly authKey?: string;
  readonly store?: ServiceConfig["store"];
  readonly revision?: string;
}

/**
 * Writes a snapshot's folder for a pipeline that is exported by a module, and the configuration that goes with it.
 * @param module URL of the built module.
 */
export async function makeFixture(
  pipeline: Pipeline,
  module: string,
  name: string,
  options: FixtureOptions = {},
): Promise<Fixture> {
  const compiled = pipeline.compile();
  const manifest = {
    version: MANIFEST_VERSION,
    pipeline: {
      name: compiled.name,
      description: compiled.description ?? null,
      entry: "entry.mjs",
      export: "default",
      graph: compiled.graph,
      inputSchema: compiled.inputSchema,
      outputSchema: compiled.outputSchema,
      secrets: compiled.secrets,
    },
    settings: { serving: {}, deployer: {} },
    files: {},
    externals: {},
    node: "22.18.0",
  };
  const directory = await mkdtemp(join(tmpdir(), "millrace-serving-"));
  await writeFile(join(directory, "manifest.json"), canonicalJson(manifest));
  await writeFile(
    join(directory, "entry.mjs"),
    `export { ${name} as default } from ${JSON.stringify(module)};\n`,
  );
  const config = serviceConfigSchema.parse({
    deployment: { id: "deployment-1", name: "fixture", project: "default", projectId: "project-1" },
    snapshot: { id: `sha256:${sha256(canonicalJson(manifest))}`, name: "fixture-snapshot" },
    revision: options.revision ?? "revision-1",
    serving: options.serving ?? {},
    authKeyHash: options.authKey === undefined ? null : sha256(options.authKey),
    store: options.store ?? null,
  });
  return { directory, config, variables: { MILLRACE_CONFIG: JSON.stringify(config) } };
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
