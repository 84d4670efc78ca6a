import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { RunRecord } from "@millrace/core";
import { openStore, type Recorder, type Store, startRecorder } from "@millrace/store";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { sampleRun } from "./sample-run.fixture.ts";

const script = fileURLToPath(new URL("./recording.fixture.ts", import.meta.url));
const TRACKING = {
  mode: "sync",
  sampleRate: 1,
  durability: "process",
  maxPayloadBytes: 65_536,
  spoolBytes: 1 << 26,
  retentionDays: 30,
  deployment: null,
} as const;

let folder: string;
let file: string;
let spoolDirectory: string;
let store: Store;
let projectId: string;
let lines: string[];
let recorders: Recorder[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "millrace-recorder-"));
  file = join(folder, "state", "millrace.db");
  spoolDirectory = join(folder, "spool");
  store = await openStore({ url: file });
  projectId = (await store.projects.ensure("default")).id;
  lines = [];
  recorders = [];
});
afterEach(async () => {
  await Promise.all(recorders.map((recorder) => recorder.close(5000)));
  await store.close();
  rmSync(folder, { recursive: true });
});

type Tracking = Parameters<typeof startRecorder>[0]["tracking"];

function start(tracking: Partial<Tracking> = {}): Recorder {
  const recorder = startRecorder({
    store: { kind: "sqlite", file, spoolDirectory },
    tracking: { ...TRACKING, ...tracking },
    projectId,
    log: (line) => lines.push(line),
  });
  recorders.push(recorder);
  return recorder;
}

const runs = (count: number): RunRecord[] =>
  Array.from({ length: count }, () => sampleRun({ projectId }));

/** Ids of all recorded runs, read with a connection of its own. */
function recordedIds(place = file): string[] {
  const database = new DatabaseSync(place, { timeout: 5000 });
  const ids = database.prepare("select id from runs order by id").all();
  database.close();
  return ids.map((row) => String(row["id"]));
}

const spoolFiles = () =>
  existsSync(spoolDirectory)
    ? readdirSync(spoolDirectory).filter((name) => name.endsWith(".ndjson"))
    : [];

function spooledIds(): string[] {
  return spoolFiles().flatMap((name) =>
    [...readFileSync(join(spoolDirectory, name), "utf8").matchAll(/^.*\n/gm)].map(([line]) =>
      String(JSON.parse(line)[5]),
    ),
  );
}

const idsOf = (some: readonly RunRecord[]) => some.map(({ id }) => id).toSorted();
const eventually = { timeout: 8000, interval: 20 };
const messages = () => lines.map((line): string => JSON.parse(line).msg);

describe("a reachable store", () => {
  test("mode sync: a run is in the store when its promise resolves", async () => {
    const recorder = start();
    const some = runs(40);
    await Promise.all(
      some.map(async (run) => {
        expect(await recorder.record(run)).toBe(true);
        expect(recordedIds()).toContain(run.id);
      }),
    );
    expect(await store.runs.find(projectId, some[0]?.id ?? "")).toEqual(some[0]);
    expect(recorder.stats).toEqual({ recorded: 40, spooled: 0, pending: 0, dropped: 0 });
  });

  test("mode async: runs are queued and committed soon, also across batches", async () => {
    const recorder = start({ mode: "async" });
    const some = runs(1500);
    for (const run of some) expect(recorder.record(run)).toBeUndefined();
    expect(recorder.stats.pending).toBe(1500);
    await vi.waitFor(() => expect(recorder.stats.recorded).toBe(1500), eventually);
    expect(recordedIds()).toEqual(idsOf(some));
  });

  test("mode async: too much in memory makes callers wait, and loses nothing", async () => {
    const recorder = start({ mode: "async" });
    const some = runs(20_100);
    const waits = some.map((run) => recorder.record(run));
    expect(waits.slice(0, 20_000).every((wait) => wait === undefined)).toBe(true);
    expect(waits.at(-1)).toBeInstanceOf(Promise);
    await Promise.all(waits);
    await recorder.close(5000);
    expect(recorder.stats).toEqual({ recorded: 20_100, spooled: 0, pending: 0, dropped: 0 });
  });

  test("close commits what is pending", async () => {
    const recorder = start({ mode: "async" });
    const some = runs(10);
    for (const run of some) recorder.record(run);
    await recorder.close(5000);
    expect(recordedIds()).toEqual(idsOf(some));
    expect(recorder.record(some[0] ?? sampleRun({}))).toBeUndefined();
    expect(recorder.stats).toMatchObject({ recorded: 10, dropped: 1 });
  });

  test("the end of a run replaces its beginning, and the default name is not stored", async () => {
    const recorder = start();
    const run = sampleRun({ projectId, deploymentId: null });
    await recorder.record({ ...run, status: "running", outputs: null, durationMs: null });
    await recorder.record(run);
    expect(await store.runs.find(projectId, run.name)).toEqual(run);
    const database = new DatabaseSync(file);
    expect(database.prepare("select name from runs").get()).toEqual({ name: null });
    database.close();
  });

  test("a value that is not JSON loses that run alone", async () => {
    const recorder = start();
    const circle: { self?: unknown } = {};
    circle.self = circle;
    const bad = sampleRun({ projectId });
    Object.assign(bad, { inputs: circle });
    const [good = bad] = runs(1);
    const kept = await Promise.all([recorder.record(bad), recorder.record(good)]);
    expect(kept).toEqual([false, true]);
    expect(recordedIds()).toEqual([good.id]);
    expect(recorder.stats.dropped).toBe(1);
  });
});

describe("without a store", () => {
  test.each(["async", "sync"] as const)("runs are log lines in mode %s", async (mode) => {
    const recorder = startRecorder({
      store: null,
      tracking: { ...TRACKING, mode },
      projectId,
      log: (line) => lines.push(line),
    });
    const [run = sampleRun({})] = runs(1);
    expect(await recorder.record(run)).toBe(mode === "sync" ? true : undefined);
    await recorder.close(10);
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([{ level: "info", run }]);
    expect(recorder.stats.recorded).toBe(1);
  });
});

describe("an unreachable store", () => {
  test("a write lock that passes is not worth a line", async () => {
    const recorder = start();
    const [first = sampleRun({}), second = first] = runs(2);
    await recorder.record(first);
    const blocker = new DatabaseSync(file);
    blocker.exec("begin immediate");
    await recorder.record(second);
    expect(recorder.stats.spooled).toBe(1);
    blocker.exec("rollback");
    blocker.close();
    await vi.waitFor(() => expect(recorder.stats.recorded).toBe(2), eventually);
    await recorder.close(5000);
    expect(messages()).toEqual([]);
  });

  test("a write lock that lasts: it is told of, nothing waits for it, and the spool catches up", async () => {
    const recorder = start();
    const [first = sampleRun({}), ...more] = runs(60);
    await recorder.record(first);
    const blocker = new DatabaseSync(file);
    blocker.exec("begin immediate");
    const until = performance.now() + 10_000;
    const during: RunRecord[] = [];
    while (messages().length === 0 && performance.now() < until) {
      const run = sampleRun({ projectId });
      during.push(run);
      await recorder.record(run);
      await sleep(20);
    }
    expect(recorder.stats).toMatchObject({ recorded: 1, spooled: during.length, dropped: 0 });
    expect(spooledIds().toSorted()).toEqual(idsOf(during));
    blocker.exec("rollback");
    blocker.close();
    await Promise.all(more.map((run) => recorder.record(run)));
    await vi.waitFor(() => expect(recorder.stats.spooled).toBe(0), eventually);
    expect(recordedIds()).toEqual(idsOf([first, ...during, ...more]));
    expect(messages()).toEqual([
      "The store cannot be reached: runs are spooled.",
      "The store can be reached and has what was spooled.",
    ]);
    await recorder.close(5000);
    expect(readdirSync(spoolDirectory)).toEqual([]);
  }, 15_000);

  test("a deleted folder: runs wait in the spool until the store is back", async () => {
    const recorder = start();
    const [first = sampleRun({}), second = first] = runs(2);
    await recorder.record(first);
    await store.close();
    renameSync(join(folder, "state"), join(folder, "away"));
    await recorder.record(second);
    expect(spooledIds()).toEqual([second.id]);
    renameSync(join(folder, "away"), join(folder, "state"));
    await vi.waitFor(() => expect(recordedIds()).toEqual([first.id, second.id]), eventually);
  });

  test("a replaced file gets the runs, not the one that nobody finds any more", async () => {
    const recorder = start();
    const [first = sampleRun({}), second = first] = runs(2);
    await recorder.record(first);
    await store.close();
    rmSync(join(folder, "state"), { recursive: true });
    store = await openStore({ url: file });
    await recorder.record(second);
    expect(recordedIds()).toEqual([second.id]);
  });

  test("a full spool drops and counts, and never makes a request wait for ever", async () => {
    const recorder = start({ spoolBytes: 2000 });
    const blocker = new DatabaseSync(file);
    blocker.exec("begin immediate");
    const some = runs(20);
    const kept: (boolean | undefined)[] = [];
    for (const run of some) kept.push(await recorder.record(run));
    const { spooled, dropped } = recorder.stats;
    expect(spooled).toBeGreaterThan(0);
    expect(dropped).toBe(20 - spooled);
    expect(kept).toEqual(some.map((_run, i) => i < spooled));
    const [name = ""] = spoolFiles();
    expect(statSync(join(spoolDirectory, name)).size).toBeLessThanOrEqual(2000);
    expect(messages().filter((message) => message.startsWith("Runs are lost"))).toHaveLength(1);
    blocker.exec("rollback");
    blocker.close();
    await vi.waitFor(() => expect(recorder.stats.recorded).toBe(spooled), eventually);
    expect(recordedIds()).toEqual(idsOf(some.slice(0, spooled)));
  });

  test("of large runs that come at once a small spool takes what it can", async () => {
    const recorder = start({ spoolBytes: 6 * 1024 * 1024 });
    const blocker = new DatabaseSync(file);
    blocker.exec("begin immediate");
    const some = Array.from({ length: 10 }, () =>
      sampleRun({ projectId, inputs: "x".repeat(1024 * 1024) }),
    );
    const kept = await Promise.all(some.map((run) => recorder.record(run)));
    expect(kept).toEqual(some.map((_run, i) => i < 4));
    blocker.close();
  });

  test("no store and no spool: runs are dropped, counted and told of once", async () => {
    rmSync(folder, { recursive: true });
    appendFileSync(folder, "");
    const recorder = start();
    const kept = await Promise.all(runs(5).map((run) => recorder.record(run)));
    kept.push(await recorder.record(sampleRun({ projectId })));
    expect(kept).toEqual(Array(6).fill(false));
    expect(recorder.stats).toEqual({ recorded: 0, spooled: 0, pending: 0, dropped: 6 });
    expect(messages().filter((message) => message.startsWith("Runs are lost"))).toHaveLength(1);
  });
});

describe("a process that dies", () => {
  /** Records in a process of its own until so many runs are acknowledged, and kills it. */
  async function recordAndKill(acknowledged: number): Promise<string[]> {
    const child = spawn(process.execPath, [script, file, spoolDirectory, projectId], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (output.split("\n").length > acknowledged) child.kill("SIGKILL");
    });
    await once(child, "close");
    return output.split("\n").slice(0, -1);
  }

  test("killed in mode sync: each acknowledged run is in the store", async () => {
    const acknowledged = await recordAndKill(300);
    expect(acknowledged.length).toBeGreaterThanOrEqual(300);
    const found = new Set(recordedIds());
    expect(acknowledged.filter((id) => !found.has(id))).toEqual([]);
  });

  test("killed while it spools: after a restart each run is in the store exactly once", async () => {
    const blocker = new DatabaseSync(file);
    blocker.exec("begin immediate");
    const acknowledged = await recordAndKill(300);
    const spooled = spooledIds();
    expect(acknowledged.filter((id) => !spooled.includes(id))).toEqual([]);
    blocker.exec("rollback");
    blocker.close();
    // What a crash may leave at the end.
    appendFileSync(join(spoolDirectory, spoolFiles()[0] ?? ""), '[1,"torn","we');
    // Several processes start at once: one of them takes the spool.
    const next = [start(), start(), start()];
    await vi.waitFor(() => expect(spoolFiles()).toEqual([]), eventually);
    expect(recordedIds()).toEqual([...new Set(spooled)].toSorted());
    const recorded = () => next.reduce((sum, { stats }) => sum + stats.recorded, 0);
    await vi.waitFor(() => expect(recorded()).toBe(spooled.length), eventually);
    expect(messages().filter((message) => message.includes("torn"))).toHaveLength(1);
  });

  test("the spool of a living process is left alone", async () => {
    const blocker = new DatabaseSync(file);
    blocker.exec("begin immediate");
    const living = spawn(process.execPath, [script, file, spoolDirectory, projectId], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    living.stdout.resume();
    await once(living.stdout, "data");
    // It lives, and holds what it holds, but writes no more.
    living.kill("SIGSTOP");
    const [name = ""] = spoolFiles();
    // Two recorders of this process, and each looks at the spools of the others.
    const own = [start(), start()];
    await Promise.all(own.map((recorder) => recorder.record(sampleRun({ projectId }))));
    expect(own.map(({ stats }) => stats.spooled)).toEqual([1, 1]);
    expect(spoolFiles()).toHaveLength(3);
    living.kill("SIGKILL");
    await once(living, "close");
    expect(statSync(join(spoolDirectory, name)).size).toBeGreaterThan(0);
    blocker.close();
    const heir = start();
    await heir.record(sampleRun({ projectId }));
    await vi.waitFor(() => expect(spoolFiles()).not.toContain(name), eventually);
  });
});
