import { type RunRecord, uuidv7Floor, uuidv7Source } from "@millrace/core";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openStore } from "./index.ts";
import { appendRun, type Origin, OriginNumbers, type Value } from "./recorder/batch.ts";
import type { RunWriter } from "./recorder/run-writer.ts";
import { sampleRun } from "./recorder/sample-run.fixture.ts";
import type { Store } from "./store.ts";

/** What every writer of runs does, whatever its database is. */
export function runWriterSuite(
  freshUrl: () => string | Promise<string>,
  openWriter: (url: string) => RunWriter,
): void {
  describe("a writer of runs", () => {
    let store: Store;
    let projectId: string;
    let writer: RunWriter;
    let now = 1_700_000_000_000;
    const newId = uuidv7Source(() => now);

    beforeEach(async () => {
      const url = await freshUrl();
      store = await openStore({ url });
      projectId = (await store.projects.ensure("default")).id;
      writer = openWriter(url);
    });
    afterEach(async () => {
      await writer.close();
      await store.close();
    });

    const runOf = (deploymentId: string | null) =>
      sampleRun({ id: newId(), projectId, deploymentId, startedAt: now });

    async function write(...runs: readonly RunRecord[]): Promise<void> {
      const values: Value[] = [];
      const origins = new OriginNumbers();
      for (const run of runs) appendRun(values, origins.of(run), run);
      await writer.write(values, origins.all);
    }

    test("the recorder and the store write the same rows", async () => {
      const run = runOf("d1");
      const other = { ...run, id: newId(), name: "mine", status: "failed" as const, outputs: null };
      await store.runs.record([run]);
      await write(run, other);
      expect(await store.runs.find(projectId, run.id)).toEqual(run);
      expect(await store.runs.find(projectId, "mine")).toEqual(other);
      expect((await store.runs.list(projectId)).items).toHaveLength(2);
    });

    test("a batch may hold a run twice: its end counts, and what was written before it", async () => {
      const run = runOf("d1");
      const running = { ...run, status: "running", outputs: null, durationMs: null } as const;
      const old = runOf("d1");
      await write({ ...old, status: "running" }, old);
      await write(running, { ...old, status: "failed" }, run, { ...run, status: "failed" });
      expect(await store.runs.find(projectId, run.id)).toEqual(run);
      expect(await store.runs.find(projectId, old.id)).toEqual(old);
    });

    test("the end of a run that was taken for interrupted replaces the mark, and nothing else does", async () => {
      const run = runOf("d1");
      const running = { ...run, status: "running", outputs: null, durationMs: null } as const;
      const interrupted = { ...running, status: "interrupted" } as const;
      const overdue = { deploymentId: "d1", beforeId: uuidv7Floor(now + 1) };
      const found = () => store.runs.find(projectId, run.id);
      await write(running);
      expect(await writer.interrupt(overdue)).toBe(1);
      await write(running);
      expect(await store.runs.record([running, interrupted])).toBe(0);
      expect(await found()).toMatchObject({ status: "interrupted" });
      await write(run);
      expect(await found()).toEqual(run);
      await write(interrupted);
      expect(await store.runs.record([{ ...run, status: "failed" }])).toBe(0);
      expect(await found()).toEqual(run);
    });

    test("a run that was taken for interrupted gets its end by the store, too", async () => {
      const run = runOf("d1");
      const interrupted = { ...run, status: "interrupted", outputs: null } as const;
      await write(interrupted);
      expect(await store.runs.record([run])).toBe(1);
      expect(await store.runs.find(projectId, run.id)).toEqual(run);
      const other = { ...interrupted, id: newId() };
      await write({ ...other, status: "running" }, other, { ...run, id: other.id }, other);
      expect(await store.runs.find(projectId, other.id)).toEqual({ ...run, id: other.id });
    });

    test("any text goes through", async () => {
      const text = fc.string({ unit: "binary" });
      const names = fc.oneof(
        text,
        fc.tuple(text, text).map((parts) => parts.join("\0")),
      );
      await fc.assert(
        fc.asyncProperty(names, fc.jsonValue(), async (name, value) => {
          const inputs = JSON.parse(JSON.stringify(value));
          const run = { ...runOf("d1"), name, inputs };
          await write(run);
          const found = await store.runs.find(projectId, run.id);
          expect(found).toEqual({ ...run, name: expect.any(String) });
          // Nobody gives such a name; what matters is that it does not stand in the way of other runs.
          if (!name.includes("\0") && name.isWellFormed()) expect(found?.name).toBe(name);
        }),
        { numRuns: 50 },
      );
    });

    test("a batch with a fault writes nothing", async () => {
      const values: Value[] = [];
      const origins = new OriginNumbers();
      for (const run of [runOf("d1"), runOf("d1")]) appendRun(values, origins.of(run), run);
      const broken = async () =>
        writer.write([...values.slice(0, -3), null, null, null], origins.all);
      await expect(broken()).rejects.toThrow();
      expect((await store.runs.list(projectId)).items).toEqual([]);
      await writer.write(values, origins.all);
      expect((await store.runs.list(projectId)).items).toHaveLength(2);
    });

    test("old runs of one's own and of deleted deployments are pruned, at most so many", async () => {
      const user = await store.users.ensure("ada");
      const kept = await store.deployments.create({
        projectId,
        name: "kept",
        userId: user.id,
        stack: "default",
        deployer: "local",
        flavor: "local",
        deployerSettings: {},
      });
      await write(...[kept.id, "own", "own", "own", "gone", null].map(runOf));
      now += 60_000;
      await write(runOf("own"), runOf("gone"));
      const retention = { projectId, deploymentId: "own", beforeId: uuidv7Floor(now) };
      const pruned: number[] = [];
      for (let i = 0; i < 3; i++) pruned.push(await writer.prune(retention, 2));
      expect(pruned).toEqual([2, 2, 0]);
      const { items } = await store.runs.list(projectId);
      expect(items.map(({ deploymentId }) => deploymentId)).toEqual(["gone", "own", null, kept.id]);
    });

    test("runs that are overdue are interrupted, of one deployment only, and say why", async () => {
      const running = (deployment: string) => ({
        ...runOf(deployment),
        status: "running" as const,
        durationMs: null,
        outputs: null,
      });
      await write(running("own"), runOf("own"), running("other"));
      now += 60_000;
      await write(running("own"));
      const overdue = { deploymentId: "own", beforeId: uuidv7Floor(now) };
      expect(await writer.interrupt(overdue)).toBe(1);
      expect(await writer.interrupt(overdue)).toBe(0);
      const { items } = await store.runs.list(projectId);
      expect(items.map(({ deploymentId, status }) => [deploymentId, status])).toEqual([
        ["own", "running"],
        ["other", "running"],
        ["own", "completed"],
        ["own", "interrupted"],
      ]);
      const [, , , first] = items;
      expect(await store.runs.find(projectId, first?.id ?? "")).toMatchObject({
        status: "interrupted",
        error: { code: "RUN_INTERRUPTED" },
      });
    });

    test("a number without its origin is a fault of ours, and writes nothing", async () => {
      const values: Value[] = [];
      appendRun(values, 7, runOf("d1"));
      const none: Origin[] = [];
      await expect((async () => writer.write(values, none))()).rejects.toThrow(RangeError);
      expect((await store.runs.list(projectId)).items).toEqual([]);
    });
  });
}
