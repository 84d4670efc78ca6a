import { createReadStream } from "node:fs";
import { MillraceError, messageOf, type RunRecord } from "@millrace/core";
import { importRuns, type OldRuns } from "@millrace/store";
import type { Client, PruneOptions, PruneResult } from "./client.ts";
import type { Deployments } from "./deployments.ts";
import { systemClock } from "./lifecycle/clock.ts";
import { findSnapshot } from "./snapshots.ts";
import type { Workspace } from "./workspace.ts";

/** How many runs are deleted in one transaction, which services that record wait for. */
const PORTION = 500;

export function runsOf(workspace: Workspace, deployments: Deployments): Client["runs"] {
  const { store, project } = workspace;
  const find = async (idOrName: string): Promise<RunRecord> => {
    const run = await store.runs.find(project.id, idOrName);
    if (run !== null) return run;
    throw new MillraceError({
      class: "not_found",
      code: "RUN_NOT_FOUND",
      message: `There is no run "${idOrName}" in project "${project.name}".`,
      action:
        "Run `npx millrace run list` to see what there is. A run that has just ended is recorded within 50 ms; a service that does not reach the store has its runs in its log (`npx millrace run import --help`).",
    });
  };
  const idOf = async (deployment: string) => (await deployments.find(deployment)).id;
  return {
    list: async ({ deployment, ...filter } = {}) =>
      store.runs.list(project.id, {
        ...filter,
        ...(deployment === undefined ? {} : { deploymentId: await idOf(deployment) }),
      }),
    get: find,
    import: (source, call = {}) =>
      importRuns(store, typeof source === "string" ? bytesOf(source) : source, {
        ...call,
        projectId: project.id,
      }),
    async delete(runs) {
      const ids = [];
      for (const idOrName of runs) ids.push((await find(idOrName)).id);
      await store.runs.delete(project.id, ids);
    },
    prune: async ({ before, deployment, snapshot, ...options }) => {
      const old = {
        before,
        ...(deployment === undefined ? {} : { deploymentId: await idOf(deployment) }),
        ...(snapshot === undefined
          ? {}
          : { snapshotId: (await findSnapshot(workspace, snapshot)).id }),
      };
      return prune(workspace, old, options);
    },
  };
}

async function prune(
  { store, project }: Workspace,
  old: OldRuns,
  { confirm, onProgress, signal = new AbortController().signal }: Omit<PruneOptions, "before">,
): Promise<PruneResult> {
  const { ended, running } = await store.runs.countOld(project.id, old);
  if (ended > 0 && confirm !== undefined && !(await confirm(ended))) throw declined();
  let deleted = 0;
  for (;;) {
    signal.throwIfAborted();
    const begun = performance.now();
    const portion = await store.runs.deleteOld(project.id, old, PORTION);
    if (portion === 0) return { deleted, running };
    deleted += portion;
    const message = `Deleted ${deleted} of ${ended} runs`;
    onProgress?.({ at: Date.now(), deployment: null, message });
    // Half of the time belongs to those who record.
    await systemClock.sleep(performance.now() - begun, signal);
  }
}

function declined(): MillraceError {
  return new MillraceError({
    class: "aborted",
    code: "PRUNE_DECLINED",
    message: "It was not confirmed; no run was deleted.",
  });
}

async function* bytesOf(file: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(file);
  } catch (cause) {
    throw new MillraceError({
      class: "usage",
      code: "IMPORT_UNREADABLE",
      message: `${file} cannot be read: ${messageOf(cause)}.`,
      action: "Name a file with a service's log lines or a spool.",
      cause,
    });
  }
}
