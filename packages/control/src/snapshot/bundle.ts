import { realpath } from "node:fs/promises";
import { isAbsolute, relative, sep } from "node:path";
import { MillraceError, messageOf } from "@millrace/core";
import { type ExternalPackage, isNative, packageOf } from "./external-packages.ts";
import type { PipelineSource } from "./source.ts";

/** The file that a snapshot's process imports; its default export is the pipeline. */
export const ENTRY_FILE = "pipeline.mjs";
/** Oldest Node that bundles are made for. */
export const TARGET_NODE = "22.18.0";

export interface Bundle {
  /** Contents by path relative to the snapshot's folder. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly externals: readonly ExternalPackage[];
  /** Absolute paths of everything that was read. */
  readonly sources: readonly string[];
}

const VIRTUAL_ENTRY = "\0millrace-entry";

/**
 * Bundles a pipeline's module with all that it imports. The same sources give the same bytes, wherever they lie.
 * @throws MillraceError `SNAPSHOT_BUNDLE_FAILED` naming the file and the cause.
 */
export async function bundle(source: PipelineSource): Promise<Bundle> {
  const { rolldown } = await import("rolldown");
  const root = await realpath(source.root);
  const externals = new Map<string, ExternalPackage>();
  const native = new Map<string, boolean>();
  const unresolved: string[] = [];
  const build = await rolldown({
    input: { pipeline: VIRTUAL_ENTRY },
    cwd: root,
    platform: "node",
    transform: { target: `node${TARGET_NODE}` },
    experimental: { attachDebugInfo: "none", resolveNewUrlToAsset: true },
    onLog(_level, log) {
      if (log.code === "UNRESOLVED_IMPORT") unresolved.push(log.message);
    },
    plugins: [
      {
        name: "millrace-entry",
        resolveId: (id) => (id === VIRTUAL_ENTRY ? id : undefined),
        load: (id) =>
          id === VIRTUAL_ENTRY
            ? {
                // A missing export is told of when the bundle is compiled, in the user's words.
                code: `import * as module from ${JSON.stringify(source.file)};\nexport default module[${JSON.stringify(source.export)}];`,
                moduleSideEffects: true,
              }
            : undefined,
      },
      {
        name: "millrace-external-packages",
        async resolveId(id, importer, options) {
          if (id.startsWith(".") || id.startsWith("\0") || id.startsWith("node:") || isAbsolute(id))
            return undefined;
          const found = await this.resolve(id, importer, { ...options, skipSelf: true });
          if (found === null || found.external) return found;
          const owner = packageOf(found.id);
          if (owner === undefined) return found;
          const needsFiles = native.get(owner.directory) ?? isNative(owner.directory);
          native.set(owner.directory, needsFiles);
          if (!needsFiles) return found;
          externals.set(owner.name, owner);
          return { id, external: true };
        },
      },
    ],
  }).catch((error: unknown) => {
    throw failed(source, messageOf(error), error);
  });
  try {
    const { output } = await build.generate({
      format: "esm",
      entryFileNames: ENTRY_FILE,
      chunkFileNames: "chunk-[hash].mjs",
      assetFileNames: "asset-[name]-[hash][extname]",
      sourcemap: true,
      sourcemapPathTransform: (path) => portable(path),
    });
    if (unresolved.length > 0) throw new Error(unresolved.join("\n"));
    const files = new Map<string, Uint8Array>();
    for (const part of output) {
      const content = part.type === "chunk" ? part.code : part.source;
      files.set(part.fileName, typeof content === "string" ? Buffer.from(content) : content);
    }
    const sources = (await build.watchFiles).filter((file) => !file.startsWith("\0"));
    return {
      files,
      externals: [...externals.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
      sources,
    };
  } catch (error) {
    throw failed(source, messageOf(error), error);
  } finally {
    await build.close();
  }
}

/** Where a module lies without where its project lies: packages by name, the user's files relative to their project. */
function portable(path: string): string {
  const parts = path.split(sep).join("/");
  const inPackage = parts.lastIndexOf("node_modules/");
  if (inPackage >= 0) return parts.slice(inPackage);
  return parts.replace(/^(?:\.\.\/)+/, "");
}

function failed(source: PipelineSource, message: string, cause: unknown): MillraceError {
  return new MillraceError({
    class: "pipeline",
    code: "SNAPSHOT_BUNDLE_FAILED",
    message: `${relative(process.cwd(), source.file) || source.file} could not be bundled: ${message.replace(/^Build failed with \d+ errors?:\s*/, "").trim()}`,
    action: "Correct the named file; a package that cannot be found has to be installed.",
    cause,
  });
}
