import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type RunRecord, Secret } from "@millrace/core";
import { openStore, type Recorder, type Store, startRecorder } from "@millrace/store";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { asSuperuser, freshUrl } from "../postgres/fresh-url.fixture.ts";
import { openWire, type Wire } from "../postgres/wire.fixture.ts";
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
let spoolDirectory: string;
let url: string;
let wire: Wire;
let store: Store;
let projectId: string;
let lines: string[];
let recorders: Recorder[];
let loads: { stop(): Promise<void> }[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "millrace-recorder-"));
  spoolDirectory = join(folder, "spool");
  url = await freshUrl();
  wire = await openWire(url);
  store = await openStore({ url });
  projectId = (await store.projects.ensure("default")).id;
  lines = [];
  recorders = [];
  loads = [];
});
afterEach(async () => {
  await Promise.all(loads.map((one) => one.stop()));
  await Promise.all(recorders.map((recorder) => recorder.close(5000)));
  await store.close();
  await wire.close();
  rmSync(folder, { recursive: true });
});

function start(tracking: Partial<Parameters<typeof startRecorder>[0]["tracking"]> = {}): Recorder {
  const recorder = startRecorder({
    store: { kind: "postgres", url: new Secret(wire.url), spoolDirectory },
    tracking: { ...TRACKING, ...tracking },
    projectId,
    log: (line) => lines.push(line),
  });
  recorders.push(recorder);
  return recorder;
}

const runs = (count: number): RunRecord[] =>
  Array.from({ length: count }, () => sampleRun({ projectId }));
const idsOf = (some: readonly RunRecord[]) => some.map(({ id }) => id).toSorted();
const eventually = { timeout: 60_000, interval: 20 };
const messages = () => lines.map((line): string => JSON.parse(line).msg);
const spoolFiles = () =>
  existsSync(spoolDirectory)
    ? readdirSync(spoolDirectory).filter((name) => name.endsWith(".ndjson"))
    : [];

const recordedIds = () =>
  asSuperuser(async (client) => {
    const { rows } = await client.query("select id from runs order by id");
    return rows.map(({ id }) => String(id));
  }, url);

/** Records runs, some at a time, until it is told to stop; gives those that were acknowledged. */
function load(recorder: Recorder): { readonly runs: RunRecord[]; stop(): Promise<void> } {
  const acknowledged: RunRecord[] = [];
  let stopped = false;
  const all = Array.from({ length: 8 }, async () => {
    while (!stopped) {
      const run = sampleRun({ projectId });
      await recorder.record(run);
      acknowledged.push(run);
      await sleep(5);
    }
  });
  const started = {
    runs: acknowledged,
    async stop() {
      stopped = true;
      await Promise.all(all);
    },
  };
  loads.push(started);
  return started;
}

describe("a reachable store", () => {
  test("mode sync: a run is in the store when its promise resolves", async () => {
    const recorder = start({ durability: "machine" });
    const some = runs(40);
    await Promise.all(
      some.map(async (run) => {
        await recorder.record(run);
        expect(await store.runs.find(projectId, run.id)).toEqual(run);
      }),
    );
    expect(recorder.stats).toEqual({ recorded: 40, spooled: 0, pending: 0, dropped: 0 });
  });

  test("mode async: runs are queued and committed soon, also across batches", async () => {
    const recorder = start({ mode: "async" });
    const some = runs(1500);
    for (const run of some) expect(recorder.record(run)).toBeUndefined();
    await vi.waitFor(() => expect(recorder.stats.recorded).toBe(1500), eventually);
    expect(await recordedIds()).toEqual(idsOf(some));
    expect(spoolFiles()).toEqual([]);
  });

  test("close commits what is pending, and leaves no connection", async () => {
    const recorder = start({ mode: "async" });
    const some = runs(10);
    for (const run of some) recorder.record(run);
    await recorder.close(5000);
    expect(await recordedIds()).toEqual(idsOf(some));
    expect(recorder.stats).toMatchObject({ recorded: 10, dropped: 0 });
  });

  test("the end of a run replaces its beginning", async () => {
    const recorder = start({ mode: "async" });
    const run = sampleRun({ projectId, deploymentId: null });
    recorder.record({ ...run, status: "running", outputs: null, durationMs: null });
    recorder.record(run);
    await vi.waitFor(() => expect(recorder.stats.recorded).toBe(2), eventually);
    expect(await store.runs.find(projectId, run.name)).toEqual(run);
  });
});

describe("an unreachable store", () => {
  test.each([
    ["refuses connections", "refuse"],
    ["takes everything and says nothing", "hang"],
  ] as const)("%s under load: no run is lost, and none stands twice", async (_, mode) => {
    for (const tracking of ["sync", "async"] as const) {
      const recorder = start({ mode: tracking });
      const loaded = load(recorder);
      await vi.waitFor(() => expect(recorder.stats.recorded).toBeGreaterThan(50), eventually);
      wire.set(mode);
      await vi.waitFor(() => expect(recorder.stats.spooled).toBeGreaterThan(300), eventually);
      wire.set("refuse");
      wire.set("pass");
      await vi.waitFor(() => expect(recorder.stats.spooled).toBe(0), eventually);
      await loaded.stop();
      await vi.waitFor(() => expect(recorder.stats.pending).toBe(0), eventually);
      expect(recorder.stats).toEqual({
        recorded: loaded.runs.length,
        spooled: 0,
        pending: 0,
        dropped: 0,
      });
      const found = new Set(await recordedIds());
      expect(loaded.runs.filter(({ id }) => !found.has(id))).toEqual([]);
      await recorder.close(5000);
    }
    expect(messages()).toEqual([
      "The store cannot be reached: runs are spooled.",
      "The store can be reached and has what was spooled.",
      "The store cannot be reached: runs are spooled.",
      "The store can be reached and has what was spooled.",
    ]);
    expect(lines.join()).not.toContain(new URL(url).password);
  });

  test("a reply that is lost: the run was written, is spooled, and stands once", async () => {
    const recorder = start();
    const [first = sampleRun({}), second = first] = runs(2);
    await recorder.record(first);
    wire.set("lose replies");
    await recorder.record(second);
    expect(wire.lost).toBe(1);
    expect(recorder.stats).toMatchObject({ recorded: 1, spooled: 1 });
    expect(await recordedIds()).toEqual([first.id, second.id]);
    wire.set("pass");
    await vi.waitFor(() => expect(recorder.stats).toMatchObject({ spooled: 0 }), eventually);
    expect(recorder.stats.recorded).toBe(2);
    expect(await recordedIds()).toEqual([first.id, second.id]);
  });

  test("a table that somebody locks: the spool takes the runs, and nobody is left waiting at the server", async () => {
    const recorder = start();
    const [first = sampleRun({}), second = first, third = first] = runs(3);
    await recorder.record(first);
    await asSuperuser(async (client) => {
      const waiting = async () => {
        const { rows } = await client.query("select pid from pg_locks where not granted");
        return rows.map(({ pid }) => Number(pid));
      };
      await client.query("begin; lock table runs");
      const recording = recorder.record(second);
      await expect.poll(waiting).toHaveLength(1);
      const [pid] = await waiting();
      await recording;
      expect(recorder.stats.spooled).toBe(1);
      await expect.poll(waiting, { timeout: 4000 }).not.toContain(pid);
      await recorder.record(third);
      expect(recorder.stats.spooled).toBe(2);
    }, url);
    await vi.waitFor(() => expect(recorder.stats.recorded).toBe(3), eventually);
    expect(await recordedIds()).toEqual(idsOf([first, second, third]));
    expect(messages()).toEqual([
      "The store cannot be reached: runs are spooled.",
      "The store can be reached and has what was spooled.",
    ]);
  });

  test("a server that dies and recovers under load loses no run", async () => {
    const recorder = start();
    const loaded = load(recorder);
    await vi.waitFor(() => expect(recorder.stats.recorded).toBeGreaterThan(50), eventually);
    // One of its processes is killed: the server ends all others, and begins again from its log.
    await asSuperuser(async (client) => {
      const ended = new Promise<void>((resolve) =>
        client.on("error", () => undefined).on("end", resolve),
      );
      const { rows } = await client.query("select pg_backend_pid() as pid");
      process.kill(Number(rows[0].pid), "SIGKILL");
      await ended;
    }, url);
    await vi.waitFor(
      () => expect(messages()).toContain("The store can be reached and has what was spooled."),
      eventually,
    );
    await loaded.stop();
    const found = new Set(await recordedIds());
    expect(loaded.runs.filter(({ id }) => !found.has(id))).toEqual([]);
    expect(recorder.stats.dropped).toBe(0);
  });

  test("a store that is not there: runs wait in the spool until somebody makes it", async () => {
    await store.close();
    const { pathname, searchParams } = new URL(url);
    const schema = searchParams.get("options")?.replace("-csearch_path=", "");
    expect(pathname).toBe("/postgres");
    await asSuperuser((client) => client.query(`drop schema ${schema} cascade`));
    const recorder = start();
    const [run = sampleRun({})] = runs(1);
    await recorder.record(run);
    expect(recorder.stats).toMatchObject({ recorded: 0, spooled: 1 });
    await asSuperuser((client) => client.query(`create schema ${schema}`));
    store = await openStore({ url });
    await vi.waitFor(() => expect(recorder.stats.recorded).toBe(1), eventually);
    expect(await recordedIds()).toEqual([run.id]);
  });
});

describe("a process that dies", () => {
  /** Records in a process of its own until so many runs are acknowledged, and kills it. */
  async function recordAndKill(acknowledged: number): Promise<string[]> {
    const child = spawn(process.execPath, [script, wire.url, spoolDirectory, projectId], {
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

  test("two that are killed in mode sync: each acknowledged run is in the store", async () => {
    const both = await Promise.all([recordAndKill(200), recordAndKill(200)]);
    const acknowledged = both.flat();
    expect(acknowledged.length).toBeGreaterThanOrEqual(400);
    const found = new Set(await recordedIds());
    expect(acknowledged.filter((id) => !found.has(id))).toEqual([]);
  });

  test("killed while it spools: after a restart each run is in the store exactly once", async () => {
    wire.set("refuse");
    const acknowledged = await recordAndKill(200);
    expect(await recordedIds()).toEqual([]);
    wire.set("pass");
    const next = [start(), start()];
    await vi.waitFor(() => expect(spoolFiles()).toEqual([]), eventually);
    const found = new Set(await recordedIds());
    expect(acknowledged.filter((id) => !found.has(id))).toEqual([]);
    const recorded = () => next.reduce((sum, { stats }) => sum + stats.recorded, 0);
    await vi.waitFor(() => expect(recorded()).toBe(found.size), eventually);
  });
});
