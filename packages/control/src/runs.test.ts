import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RunRecord } from "@millrace/core";
import { openStore, type Store } from "@millrace/store";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Client } from "./client.ts";
import { connect } from "./connect.ts";

const OLD = Date.UTC(2026, 0, 1);

/** A client, and a way to record runs, each a millisecond after the one before. */
async function open(): Promise<{
  readonly client: Client;
  readonly record: (changes: readonly Partial<RunRecord>[]) => Promise<readonly string[]>;
  readonly store: Store;
  readonly projectId: string;
}> {
  const root = await mkdtemp(join(tmpdir(), "millrace-runs-"));
  onTestFinished(() => rm(root, { recursive: true }));
  const home = join(root, "home");
  const client = await connect({ directory: root, home, user: "ann" });
  onTestFinished(() => client.close());
  const store = await openStore({ url: join(home, "millrace.db") });
  onTestFinished(() => store.close());
  const { id: projectId } = await store.projects.ensure("default");
  let made = 0;
  const record = async (changes: readonly Partial<RunRecord>[]) => {
    const runs = changes.map((change): RunRecord => {
      const startedAt = OLD + ++made;
      const time = startedAt.toString(16).padStart(12, "0");
      return {
        id: `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${String(made).padStart(12, "0")}`,
        name: `run-${made}`,
        projectId,
        pipelineName: "weather",
        snapshotId: `sha256:${"a".repeat(64)}`,
        deploymentId: null,
        status: "completed",
        startedAt,
        durationMs: 1,
        inputs: {},
        outputs: {},
        steps: [],
        error: null,
        ...change,
      };
    });
    await store.runs.record(runs);
    return runs.map(({ id }) => id);
  };
  return { client, record, store, projectId };
}

const left = async (client: Client) => (await client.runs.list()).items.map(({ name }) => name);

describe("runs", () => {
  it("are deleted by name or id, all that are named or none", async () => {
    const { client, record } = await open();
    const [, second = ""] = await record([{}, {}, {}]);
    await expect(client.runs.delete(["run-1", "run-4"])).rejects.toMatchObject({
      code: "RUN_NOT_FOUND",
    });
    expect(await left(client)).toEqual(["run-3", "run-2", "run-1"]);
    await client.runs.delete(["run-1", second, "run-1"]);
    expect(await left(client)).toEqual(["run-3"]);
  });

  it("are pruned by age in portions, after a question that says how many there are", async () => {
    const { client, record } = await open();
    await record([{ status: "running" }, ...Array.from({ length: 1200 }, () => ({}))]);
    await record([{ startedAt: 0, id: "ffffffff-ffff-7000-8000-000000000000", name: "new" }]);
    const asked: number[] = [];
    const confirm = (runs: number) => asked.push(runs) > 1;
    const before = OLD + 10_000;
    await expect(client.runs.prune({ before, confirm })).rejects.toMatchObject({
      code: "PRUNE_DECLINED",
      class: "aborted",
    });
    const told: string[] = [];
    const onProgress = ({ message }: { message: string }) => told.push(message);
    expect(await client.runs.prune({ before, confirm, onProgress })).toEqual({
      deleted: 1200,
      running: 1,
    });
    expect(asked).toEqual([1200, 1200]);
    expect(told).toEqual([500, 1000, 1200].map((runs) => `Deleted ${runs} of 1200 runs`));
    expect(await left(client)).toEqual(["new", "run-1"]);
    expect(await client.runs.prune({ before, confirm })).toEqual({ deleted: 0, running: 1 });
    expect(asked).toHaveLength(2);
  });

  it("stop being pruned when the caller stops", async () => {
    const { client, record } = await open();
    await record(Array.from({ length: 600 }, () => ({})));
    const caller = new AbortController();
    const pruning = client.runs.prune({
      before: OLD + 10_000,
      signal: caller.signal,
      onProgress: () => caller.abort(new Error("enough")),
    });
    await expect(pruning).rejects.toThrow("enough");
    expect((await client.runs.list()).items).toHaveLength(100);
  });

  it("are pruned of one snapshot, which can then be deleted as its error says", async () => {
    const { client, record, store, projectId } = await open();
    const snapshot = `sha256:${"b".repeat(64)}`;
    const { id: pipelineId } = await store.pipelines.ensure(projectId, "weather");
    const names = { pipelineName: "weather", name: "v1", description: null };
    await store.snapshots.ensure({ id: snapshot, projectId, pipelineId, ...names });
    await record([{}, { snapshotId: snapshot }]);
    await expect(client.snapshots.delete("v1")).rejects.toMatchObject({
      code: "SNAPSHOT_IN_USE",
      action: expect.stringContaining("millrace run prune --older-than 0s --snapshot bbbbbbbbbbbb"),
    });
    const pruned = await client.runs.prune({ before: Date.now(), snapshot: "bbbbbbbbbbbb" });
    expect(pruned).toEqual({ deleted: 1, running: 0 });
    await client.snapshots.delete("v1");
    expect(await left(client)).toEqual(["run-1"]);
  });
});
