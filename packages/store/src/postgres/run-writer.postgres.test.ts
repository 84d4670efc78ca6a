import { expect, test } from "vitest";
import { openStore } from "../index.ts";
import { appendRun, OriginNumbers, type Value } from "../recorder/batch.ts";
import { sampleRun } from "../recorder/sample-run.fixture.ts";
import { runWriterSuite } from "../run-writer.suite.ts";
import { freshUrl } from "./fresh-url.fixture.ts";
import { PostgresRunWriter } from "./run-writer.ts";

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
