import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openStore } from "../index.ts";
import { appendRun, type Origin, OriginNumbers, type Value } from "../recorder/batch.ts";
import { sampleRun } from "../recorder/sample-run.fixture.ts";
import type { Store } from "../store.ts";
import { uuidV7Floor, uuidV7Source } from "../uuid.ts";
import { SqliteRunWriter } from "./run-writer.ts";

let folder: string;
let store: Store;
let projectId: string;
let writer: SqliteRunWriter;
let now = 1_700_000_000_000;
const newId = uuidV7Source(() => now);

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "millrace-writer-"));
  const file = join(folder, "millrace.db");
  store = await openStore({ url: file });
  projectId = (await store.projects.ensure("default")).id;
  writer = new SqliteRunWriter(file, false);
});
afterEach(async () => {
  writer.close();
  await store.close();
  rmSync(folder, { recursive: true });
});

const runOf = (deploymentId: string | null) =>
  sampleRun({ id: newId(), projectId, deploymentId, startedAt: now });

function write(...runs: readonly ReturnType<typeof sampleRun>[]): void {
  const values: Value[] = [];
  const origins = new OriginNumbers();
  for (const run of runs) appendRun(values, origins.of(run), run);
  writer.write(values, origins.all);
}

test("the recorder and the store write the same rows", async () => {
  const run = runOf("d1");
  const other = { ...run, id: newId(), name: "mine", status: "failed" as const, outputs: null };
  await store.runs.record([run]);
  write(run, other);
  expect(await store.runs.find(projectId, run.id)).toEqual(run);
  expect(await store.runs.find(projectId, "mine")).toEqual(other);
  expect((await store.runs.list(projectId)).items).toHaveLength(2);
});

test("a batch with a fault writes nothing", async () => {
  const values: Value[] = [];
  const origins = new OriginNumbers();
  for (const run of [runOf("d1"), runOf("d1")]) appendRun(values, origins.of(run), run);
  expect(() => writer.write([...values.slice(0, -3), null, null, null], origins.all)).toThrow();
  expect((await store.runs.list(projectId)).items).toEqual([]);
  writer.write(values, origins.all);
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
  write(...[kept.id, "own", "own", "own", "gone", null].map(runOf));
  now += 60_000;
  write(runOf("own"), runOf("gone"));
  const retention = { projectId, deploymentIds: ["own"], beforeId: uuidV7Floor(now) };
  expect([1, 2, 3].map(() => writer.prune(retention, 2))).toEqual([2, 2, 0]);
  const { items } = await store.runs.list(projectId);
  expect(items.map(({ deploymentId }) => deploymentId)).toEqual(["gone", "own", null, kept.id]);
});

test("a number without its origin is a fault of ours, and writes nothing", async () => {
  const values: Value[] = [];
  appendRun(values, 7, runOf("d1"));
  const none: Origin[] = [];
  expect(() => writer.write(values, none)).toThrow(RangeError);
  expect((await store.runs.list(projectId)).items).toEqual([]);
});
