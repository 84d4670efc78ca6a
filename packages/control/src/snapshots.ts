import {
  isPipeline,
  MillraceError,
  type Pipeline,
  type SnapshotManifest,
  type SnapshotRecord,
  validName,
} from "@millrace/core";
import type { CallOptions, Client, Source } from "./client.ts";
import type { CompileOptions } from "./snapshot/compile.ts";
import { makeSnapshot } from "./snapshot/create.ts";
import { type PipelineSource, sourceOfPath, sourceOfPipeline } from "./snapshot/source.ts";
import type { Workspace } from "./workspace.ts";

export interface ReadySnapshot {
  readonly snapshot: SnapshotRecord;
  readonly manifest: SnapshotManifest;
  /** Absolute paths of what it was made from; empty for one that was found by name. */
  readonly sources: readonly string[];
  /** What it was called before it was given another name. */
  readonly nameBefore: string | null;
}

type SourceOptions = CallOptions & Pick<CompileOptions, "loadSeconds">;

interface Naming {
  readonly name?: string;
  readonly description?: string;
  readonly replace?: boolean;
}

/** Makes the snapshot of a source, or finds the one that it names. */
export async function readySnapshot(
  workspace: Workspace,
  source: Source,
  call: SourceOptions,
  naming: Naming = {},
): Promise<ReadySnapshot> {
  if (typeof source === "string")
    return fromSource(workspace, sourceOfPath(source, process.cwd()), call, naming);
  if (isPipeline(source))
    return fromSource(workspace, await sourceOfPipeline(source as Pipeline), call, naming);
  const snapshot = await findSnapshot(workspace, source.snapshot);
  const manifest = await workspace.artifacts.manifest(snapshot.id);
  return { snapshot, manifest, sources: [], nameBefore: null };
}

async function fromSource(
  workspace: Workspace,
  source: PipelineSource,
  { onProgress, signal, loadSeconds }: SourceOptions,
  naming: Naming,
): Promise<ReadySnapshot> {
  const { store, project, artifacts, fingerprints } = workspace;
  if (naming.name !== undefined) validName("snapshot", naming.name);
  const progress = (message: string): void =>
    onProgress?.({ at: Date.now(), deployment: null, message });
  const { id, manifest, sources } = await makeSnapshot(source, artifacts, fingerprints, progress, {
    signal,
    loadSeconds,
  });
  const before = naming.name === undefined ? null : await store.snapshots.find(project.id, id);
  const pipeline = await store.pipelines.ensure(project.id, manifest.pipeline.name);
  const snapshot = await store.snapshots.ensure(
    {
      id,
      projectId: project.id,
      pipelineId: pipeline.id,
      pipelineName: pipeline.name,
      name: naming.name ?? null,
      description: naming.description ?? null,
    },
    { replaceName: naming.replace ?? false },
  );
  const nameBefore = before === null || before.name === snapshot.name ? null : before.name;
  return { snapshot, manifest, sources, nameBefore };
}

/** @throws MillraceError `SNAPSHOT_NOT_FOUND`, `SNAPSHOT_AMBIGUOUS` */
export async function findSnapshot(
  { store, project }: Workspace,
  idOrName: string,
): Promise<SnapshotRecord> {
  const snapshot = await store.snapshots.find(project.id, idOrName);
  if (snapshot !== null) return snapshot;
  throw new MillraceError({
    class: "not_found",
    code: "SNAPSHOT_NOT_FOUND",
    message: `There is no snapshot "${idOrName}" in project "${project.name}".`,
    action: "Run `npx millrace snapshot list` to see what there is.",
  });
}

export function snapshotsOf(workspace: Workspace): Client["snapshots"] {
  const { store, project, artifacts } = workspace;
  return {
    async create(source, options = {}) {
      const { snapshot, nameBefore } = await readySnapshot(workspace, source, options, options);
      return { ...snapshot, nameBefore };
    },
    list: (query) => store.snapshots.list(project.id, query),
    async get(idOrName) {
      const snapshot = await findSnapshot(workspace, idOrName);
      return { snapshot, manifest: await artifacts.manifest(snapshot.id) };
    },
    async delete(idOrName) {
      const { id } = await findSnapshot(workspace, idOrName);
      await store.snapshots.delete(project.id, id);
      await artifacts.delete(id);
    },
  };
}
