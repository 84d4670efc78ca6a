import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import {
  type CompiledPipeline,
  canonicalJson,
  isPipeline,
  MANIFEST_FILE,
  MillraceError,
  messageOf,
  parse,
  type SnapshotManifest,
  snapshotManifestSchema,
} from "@millrace/core";
import { firstDifference } from "./difference.ts";

/** Causes that a message names at most. */
const MOST_CAUSES = 5;

export interface LoadedSnapshot {
  readonly manifest: SnapshotManifest;
  readonly pipeline: CompiledPipeline;
}

/**
 * Reads a snapshot's folder and evaluates its bundle.
 * @param wantedId Id that the manifest must have.
 * @throws MillraceError `SNAPSHOT_UNREADABLE`, `SNAPSHOT_INVALID`, `SNAPSHOT_MISMATCH`, `NODE_TOO_OLD`,
 * `SNAPSHOT_NOT_LOADED`, `SNAPSHOT_GRAPH_DIFFERS`
 */
export async function loadSnapshot(directory: string, wantedId: string): Promise<LoadedSnapshot> {
  const manifest = await readManifest(directory, wantedId);
  checkNode(manifest.node);
  const pipeline = await loadPipeline(directory, manifest);
  checkGraph(manifest, pipeline);
  return { manifest, pipeline };
}

async function readManifest(directory: string, wantedId: string): Promise<SnapshotManifest> {
  const file = join(directory, MANIFEST_FILE);
  let document: unknown;
  try {
    document = JSON.parse(await readFile(file, "utf8"));
  } catch (cause) {
    throw new MillraceError({
      class: "usage",
      code: "SNAPSHOT_UNREADABLE",
      message: `${file} cannot be read: ${messageOf(cause)}.`,
      action: "Name the folder of a snapshot, or create the snapshot again.",
      cause,
    });
  }
  const manifest = parse(snapshotManifestSchema, document, {
    what: file,
    code: "SNAPSHOT_INVALID",
    action: "Create the snapshot again with this version of Millrace.",
  });
  const id = `sha256:${createHash("sha256").update(canonicalJson(document)).digest("hex")}`;
  if (id === wantedId) return manifest;
  throw new MillraceError({
    class: "conflict",
    code: "SNAPSHOT_MISMATCH",
    message: `The folder ${directory} holds snapshot ${id}, and not ${wantedId}.`,
    action: "Deploy again; if that does not help, create the snapshot again.",
  });
}

function checkNode(lowest: string): void {
  if (compareVersions(process.versions.node, lowest) >= 0) return;
  throw new MillraceError({
    class: "usage",
    code: "NODE_TOO_OLD",
    message: `The snapshot needs Node ${lowest} or newer; this is ${process.versions.node}.`,
    action: "Run it with a newer Node.",
  });
}

function compareVersions(a: string, b: string): number {
  const parts = (version: string): number[] =>
    version.split(".").map((part) => Number.parseInt(part, 10));
  const others = parts(b);
  for (const [index, part] of parts(a).entries()) {
    const difference = part - (others[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

async function loadPipeline(
  directory: string,
  { pipeline: { entry, export: name } }: SnapshotManifest,
): Promise<CompiledPipeline> {
  try {
    const module: Record<string, unknown> = await import(
      pathToFileURL(join(directory, entry)).href
    );
    const exported = module[name];
    if (isPipeline(exported)) return exported.compile();
  } catch (cause) {
    throw new MillraceError({
      class: "pipeline",
      code: "SNAPSHOT_NOT_LOADED",
      message: `The pipeline's module ${entry} failed while it was loaded: ${causesOf(cause).join(" Caused by: ")}`,
      action: "See the stack: the module's top level, or the pipeline's build function, throws.",
      cause,
    });
  }
  throw new MillraceError({
    class: "pipeline",
    code: "SNAPSHOT_NOT_LOADED",
    message: `The export "${name}" of the pipeline's module ${entry} is no pipeline.`,
    action: "Create the snapshot again.",
  });
}

/** The innermost cause may be the one that says why: a library that is missing, of a package that then looks for another one. */
function causesOf(thrown: unknown): readonly string[] {
  const causes: string[] = [];
  for (let at = thrown; at !== undefined && causes.length < MOST_CAUSES; at = causeOf(at)) {
    const [first = ""] = messageOf(at).split("\n", 1);
    if (!causes.includes(first)) causes.push(first);
  }
  return causes;
}

function causeOf(thrown: unknown): unknown {
  return typeof thrown === "object" && thrown !== null && "cause" in thrown
    ? thrown.cause
    : undefined;
}

function checkGraph(manifest: SnapshotManifest, pipeline: CompiledPipeline): void {
  const difference = firstDifference(manifest.pipeline.graph, pipeline.graph, "graph");
  if (difference === undefined) return;
  throw new MillraceError({
    class: "pipeline",
    code: "SNAPSHOT_GRAPH_DIFFERS",
    message: `The pipeline's build gave another graph than when the snapshot was made: ${difference}.`,
    action: "Make build depend on nothing but its references: no time, no environment, no files.",
  });
}
