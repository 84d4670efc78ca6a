import { join } from "node:path";
import {
  MANIFEST_VERSION,
  MillraceError,
  parse,
  type SnapshotManifest,
  snapshotManifestSchema,
} from "@millrace/core";
import { type ArtifactStore, digestOf } from "./artifact-store.ts";
import { type Bundle, bundle, ENTRY_FILE, TARGET_NODE } from "./bundle.ts";
import { type CompiledDescription, type CompileOptions, compileBundle } from "./compile.ts";
import type { Fingerprints } from "./fingerprint.ts";
import { type PipelineSource, shownPath } from "./source.ts";

export interface MadeSnapshot {
  readonly id: string;
  readonly manifest: SnapshotManifest;
  /** Absolute paths of the modules and assets that it was made from. */
  readonly sources: readonly string[];
}

/** Makes a pipeline's snapshot and stores it; unchanged sources give the one that is there without bundling. */
export async function makeSnapshot(
  source: PipelineSource,
  artifacts: ArtifactStore,
  fingerprints: Fingerprints,
  progress: (message: string) => void,
  options: CompileOptions = {},
): Promise<MadeSnapshot> {
  const known = await fingerprints.find(source);
  if (known !== null && (await artifacts.isIntact(known.made))) {
    return {
      id: known.made,
      manifest: await artifacts.manifest(known.made),
      sources: known.sources,
    };
  }
  const shown = shownPath(source.file);
  progress(`Bundling ${shown}`);
  const readSince = Date.now();
  const made = await bundle(source);
  const compiled = await compileStaged(made, artifacts, { shown, export: source.export }, options);
  const manifest = describe(made, compiled);
  const id = await artifacts.put(manifest, made.files, made.externals);
  await fingerprints.remember(source, id, made.sources, readSince);
  return { id, manifest, sources: made.sources };
}

async function compileStaged(
  made: Bundle,
  artifacts: ArtifactStore,
  source: Parameters<typeof compileBundle>[1],
  options: CompileOptions,
): Promise<CompiledDescription> {
  const { directory, discard } = await artifacts.stage(made.files, made.externals);
  try {
    return await compileBundle(join(directory, ENTRY_FILE), source, options);
  } finally {
    await discard();
  }
}

function describe({ files, externals }: Bundle, compiled: CompiledDescription): SnapshotManifest {
  const { name, description, graph, inputSchema, outputSchema, secrets, settings } = compiled;
  if ("authKey" in settings.serving) {
    throw new MillraceError({
      class: "pipeline",
      code: "SECRET_IN_SNAPSHOT",
      message: `Pipeline "${name}" sets serving.authKey: a snapshot holds no secrets.`,
      action: "Use generateAuthKey, or give the key to the deployer or to deploy.",
    });
  }
  return parse(
    snapshotManifestSchema,
    {
      version: MANIFEST_VERSION,
      pipeline: {
        name,
        description,
        entry: ENTRY_FILE,
        export: "default",
        graph,
        inputSchema,
        outputSchema,
        secrets,
      },
      settings,
      files: Object.fromEntries(
        [...files]
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([path, content]) => [
            path,
            { digest: digestOf(content), size: content.byteLength },
          ]),
      ),
      externals: Object.fromEntries(
        externals.map(({ name: external, version }) => [external, version]),
      ),
      node: TARGET_NODE,
    },
    {
      what: `The settings of pipeline "${name}"`,
      code: "PIPELINE_INVALID",
      class: "pipeline",
      action: "Correct `settings` in definePipeline.",
    },
  );
}
