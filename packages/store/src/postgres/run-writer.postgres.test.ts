import { expect, onTestFinished, test, vi } from "vitest";
import { openStore } from "../index.ts";
import { appendRun, OriginNumbers, type Value } from "../recorder/batch.ts";
import { sampleRun } from "../recorder/sample-run.fixture.ts";
import { runWriterSuite } from "../run-writer.suite.ts";
import { freshUrl } from "./fresh-url.fixture.ts";
import { PostgresRunWriter } from "./run-writer.ts";
import { openWire } from "./wire.fixture.ts";

runWriterSuite(freshUrl, (url) => new PostgresRunWriter(url, true));

test("batches that come at once are transactions one after the other", async () => {
  const url = await freshUrl();
  const store = await openStore({ url });
  const { id: projectId } = await store.projects.ensure("default");
  const writer = new PostgresRunWriter(url, false);
  const origins = new OriginNumbers();
  const runs = Array.from({ length: 6 }, () => sampleRun({ projectId }));
  const batches = runs.map((run, i) => {
    const values: Value[] = [];
    appendRun(values, origins.of(run), run);
    return i % 3 === 1 ? [...values.slice(0, -3), null, null, null] : values;
  });
  // From now on there is a connection that they all share.
  await writer.write([], []);
  const settled = await Promise.allSettled(
    batches.map((values) => writer.write(values, origins.all)),
  );
  expect(settled.map(({ status }) => status === "fulfilled")).toEqual(
    runs.map((_, i) => i % 3 !== 1),
  );
  const { items } = await store.runs.list(projectId);
  expect(items.map(({ id }) => id).toReversed()).toEqual(
    runs.filter((_, i) => i % 3 !== 1).map(({ id }) => id),
  );
  await writer.close();
  await store.close();
});

test("a large run of a spool has the time that a slow link takes for it", async () => {
  const url = await freshUrl();
  const store = await openStore({ url });
  const { id: projectId } = await store.projects.ensure("default");
  const wire = await openWire(url);
  const writer = new PostgresRunWriter(wire.url, false);
  await writer.writeSpooled([], []);
  const origins = new OriginNumbers();
  const values: Value[] = [];
  const run = sampleRun({ projectId, inputs: "x".repeat(12_000_000) });
  appendRun(values, origins.of(run), run);
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  wire.set("hold");
  const written = writer.writeSpooled(values, origins.all);
  await vi.advanceTimersByTimeAsync(90_000);
  wire.set("pass");
  await written;
  expect(await store.runs.find(projectId, run.id)).toEqual(run);
  await writer.close();
  await store.close();
  await wire.close();
});
