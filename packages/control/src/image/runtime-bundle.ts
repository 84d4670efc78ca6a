import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { MillraceError, messageOf } from "@millrace/core";
import { TARGET_NODE } from "../snapshot/bundle.ts";
import type { Fingerprints } from "../snapshot/fingerprint.ts";
import type { PipelineSource } from "../snapshot/source.ts";

/** The module of a runtime bundle to be run by Node, as that of @millrace/serving. */
export const RUNTIME_ENTRY = "runtime.js";

/** What the bundle is made from: the server's entry, and the thread that it starts by its file's name. */
const ENTRIES = {
  runtime: fileURLToPath(import.meta.resolve("@millrace/serving/runtime")),
  "writer-thread": fileURLToPath(import.meta.resolve("@millrace/store/writer-thread")),
};

/**
 * The server as a folder of a few modules that need no packages beside them, so that an image needs no node_modules for it.
 * Made once for each version of the server, and kept under its digest in `cache`.
 * @returns Absolute path of the folder.
 * @throws MillraceError `RUNTIME_BUNDLE_FAILED`
 */
export async function bundleRuntime(cache: string, fingerprints: Fingerprints): Promise<string> {
  const root = dirname(dirname(ENTRIES.runtime));
  const source: PipelineSource = { file: ENTRIES.runtime, export: "runtime", root };
  const known = await fingerprints.find(source);
  if (known !== null && existsSync(join(cache, known.made, RUNTIME_ENTRY)))
    return join(cache, known.made);
  const readSince = Date.now();
  const { files, sources } = await build();
  const digest = digestOf(files);
  await place(join(cache, digest), files);
  await fingerprints.remember(source, digest, sources, readSince);
  return join(cache, digest);
}

interface RuntimeBundle {
  readonly files: ReadonlyMap<string, string>;
  readonly sources: readonly string[];
}

async function build(): Promise<RuntimeBundle> {
  const { rolldown } = await import("rolldown");
  try {
    await using build = await rolldown({
      input: ENTRIES,
      platform: "node",
      transform: { target: `node${TARGET_NODE}` },
      // Worker threads are started by the name of a module, which stays beside the others.
      experimental: { attachDebugInfo: "none", resolveNewUrlToAsset: false },
      // Optional parts that are not installed (pg-native) are asked for in a try.
      onLog: () => undefined,
    });
    const { output } = await build.generate({
      format: "esm",
      entryFileNames: "[name].js",
      chunkFileNames: "[name]-[hash].js",
      minify: { compress: true, mangle: false, codegen: true },
    });
    const files = new Map([["package.json", '{"type":"module"}\n']]);
    for (const part of output) {
      if (part.type === "chunk") files.set(part.fileName, part.code);
    }
    const sources = (await build.watchFiles).filter((file) => !file.startsWith("\0"));
    return { files, sources };
  } catch (cause) {
    throw new MillraceError({
      class: "internal",
      code: "RUNTIME_BUNDLE_FAILED",
      message: `The server could not be bundled for an image: ${messageOf(cause)}`,
      action: "Install the packages anew; if that does not help, report it.",
      cause,
    });
  }
}

function digestOf(files: RuntimeBundle["files"]): string {
  const hash = createHash("sha256");
  for (const [name, code] of [...files].sort(([a], [b]) => (a < b ? -1 : 1)))
    hash.update(JSON.stringify([name, code]));
  return hash.digest("hex");
}

/** The folder is there as a whole or not at all, however many processes make it at the same time. */
async function place(folder: string, files: RuntimeBundle["files"]): Promise<void> {
  const draft = `${folder}.${randomUUID()}`;
  try {
    await mkdir(draft, { recursive: true, mode: 0o700 });
    for (const [name, code] of files) await writeFile(join(draft, name), code, { flush: true });
    await rename(draft, folder);
  } catch (cause) {
    await rm(draft, { recursive: true, force: true });
    // Somebody else was quicker: what the name says is what is in it.
    if (existsSync(join(folder, RUNTIME_ENTRY))) return;
    throw new MillraceError({
      class: "usage",
      code: "HOME_UNUSABLE",
      message: `The folder ${folder} cannot be written: ${messageOf(cause)}.`,
      action: "Make room on the disk, or correct the permissions of the state folder.",
      cause,
    });
  }
}
