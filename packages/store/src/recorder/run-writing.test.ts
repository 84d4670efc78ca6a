import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { uuidv7Source } from "@millrace/core";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { openStore } from "../index.ts";
import { appendRun, OriginNumbers, type Value } from "./batch.ts";
import { RunWriting } from "./run-writing.ts";
import { sampleRun } from "./sample-run.fixture.ts";

test("runs that a process leaves while another one lives are taken over by that one", async () => {
  vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] });
  const folder = mkdtempSync(join(tmpdir(), "millrace-writing-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "millrace.db");
  const store = await openStore({ url: file });
  onTestFinished(() => store.close());
  const project = await store.projects.ensure("p");
  const writingTo = (place: string): RunWriting =>
    new RunWriting(
      {
        store: { kind: "sqlite", file: place, spoolDirectory: join(folder, "spool") },
        projectId: project.id,
        durable: false,
        spoolBytes: 1 << 20,
        retentionDays: 30,
        deployment: null,
      },
      () => undefined,
    );
  const old = writingTo(join(folder, "no-folder/millrace.db"));
  old.start();
  const origins = new OriginNumbers();
  const values: Value[] = [];
  const run = sampleRun({ projectId: project.id });
  appendRun(values, origins.of(run), run);
  await old.take({ number: 1, origins: origins.all, values });
  const young = writingTo(file);
  young.start();
  await old.close(0);
  // What is done each minute, and what follows from it at once.
  await vi.advanceTimersByTimeAsync(90_000);
  await vi.advanceTimersByTimeAsync(1);
  await young.close(1000);
  expect((await store.runs.list(project.id)).items.map(({ id }) => id)).toEqual([run.id]);
});

afterEach(() => {
  vi.useRealTimers();
});

describe("old runs", () => {
  const DAY_MS = 86_400_000;

  /** Begins with an old run of each of two deployments and of none, and says whose are left. */
  async function left(
    ofService: boolean,
    work: () => unknown = () => undefined,
  ): Promise<readonly string[]> {
    const folder = mkdtempSync(join(tmpdir(), "millrace-writing-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "millrace.db");
    const store = await openStore({ url: file });
    onTestFinished(() => store.close());
    const { id: projectId } = await store.projects.ensure("p");
    const { id: userId } = await store.users.ensure("ada");
    const on = { stack: "default", deployer: "local", flavor: "local", deployerSettings: {} };
    const create = (name: string) => store.deployments.create({ projectId, name, userId, ...on });
    const [own, other] = [await create("own"), await create("other")];
    const newId = uuidv7Source(() => Date.now() - 31 * DAY_MS);
    const runs = [own.id, other.id, null].map((deploymentId) =>
      sampleRun({ id: newId(), projectId, deploymentId }),
    );
    await store.runs.record(runs);
    const writing = new RunWriting(
      {
        store: { kind: "sqlite", file, spoolDirectory: join(folder, "spool") },
        projectId,
        durable: false,
        spoolBytes: 1 << 20,
        retentionDays: 30,
        deployment: ofService ? { id: own.id, longestRunMs: 1000 } : null,
      },
      () => undefined,
    );
    writing.start();
    await work();
    await writing.close(1000);
    const names = new Map([own, other].map(({ id, name }) => [id, name]));
    const { items } = await store.runs.list(projectId);
    return items.map(({ deploymentId }) => names.get(deploymentId ?? "") ?? "batch");
  }

  test("of a service are deleted although it records none", async () => {
    vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] });
    expect(await left(true, () => vi.advanceTimersByTimeAsync(90_000))).toEqual(["batch", "other"]);
  });

  test("of batch runs are deleted at the end of one, however short it is", async () => {
    expect(await left(false)).toEqual(["other", "own"]);
  });
});

test.runIf(process.platform === "linux")(
  "a spool's folder that cannot be made holds nothing up",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "millrace-writing-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const told: string[] = [];
    const writing = new RunWriting(
      {
        store: {
          kind: "sqlite",
          file: join(folder, "no.db"),
          spoolDirectory: "/proc/nowhere/spool",
        },
        projectId: "p",
        durable: false,
        spoolBytes: 1 << 20,
        retentionDays: 30,
        deployment: null,
      },
      ({ lines }) => told.push(...lines.map((line) => String(JSON.parse(line).msg))),
    );
    writing.start();
    const origins = new OriginNumbers();
    const values: Value[] = [];
    const run = sampleRun({});
    appendRun(values, origins.of(run), run);
    await writing.take({ number: 1, origins: origins.all, values });
    expect(told).toEqual([
      "Spools of earlier processes cannot be read.",
      "The store cannot be reached: runs are spooled.",
      expect.stringMatching(/^Runs are lost: .*ENOENT/),
    ]);
    await writing.close(0);
  },
);

test("runs that are lost are counted at once, and told of once a minute", async () => {
  vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] });
  const file = join(mkdtempSync(join(tmpdir(), "millrace-writing-")), "no-folder");
  appendFileSync(file, "");
  const told: { runs: number; component: string }[] = [];
  let dropped = 0;
  const writing = new RunWriting(
    {
      store: { kind: "sqlite", file: join(file, "millrace.db"), spoolDirectory: file },
      projectId: "p",
      durable: false,
      spoolBytes: 1 << 20,
      retentionDays: 30,
      deployment: null,
    },
    (message) => {
      dropped = message.dropped;
      for (const line of message.lines) {
        const { msg, runs, component } = JSON.parse(line);
        if (msg.startsWith("Runs are lost")) told.push({ runs, component });
      }
    },
  );
  const origins = new OriginNumbers();
  const take = async (number: number): Promise<void> => {
    const values: Value[] = [];
    const run = sampleRun({});
    appendRun(values, origins.of(run), run);
    await writing.take({ number, origins: number === 1 ? origins.all : [], values });
  };
  for (let number = 1; number <= 4; number++) await take(number);
  expect({ dropped, told }).toEqual({ dropped: 4, told: [{ runs: 1, component: "recorder" }] });
  vi.advanceTimersByTime(60_000);
  await take(5);
  expect({ dropped, told: told.at(-1) }).toEqual({
    dropped: 5,
    told: { runs: 4, component: "recorder" },
  });
  vi.advanceTimersByTime(59_000);
  await take(6);
  expect(told).toHaveLength(2);
  await writing.close(0);
  rmSync(join(file, ".."), { recursive: true });
});
