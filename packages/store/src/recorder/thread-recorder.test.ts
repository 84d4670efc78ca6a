import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openStore } from "../index.ts";
import { sampleRun } from "./sample-run.fixture.ts";
import { ThreadRecorder } from "./thread-recorder.ts";

// Its threads take seconds to start on a machine that is busy.
test("a writer that dies is replaced: only a batch that kills it twice is lost", async () => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-thread-"));
  const file = join(folder, "millrace.db");
  const store = await openStore({ url: file });
  const projectId = (await store.projects.ensure("default")).id;
  const recorder = new ThreadRecorder(
    {
      store: { kind: "sqlite", file, spoolDirectory: join(folder, "spool") },
      projectId,
      durable: true,
      spoolBytes: 1 << 20,
      retentionDays: 30,
      deployment: null,
    },
    true,
    () => {},
    new URL("./dying-writer.fixture.ts", import.meta.url),
  );
  const runs = Array.from({ length: 12 }, (_, i) =>
    sampleRun({
      projectId,
      snapshotId: `sha256:${i % 3}`,
      status: i === 5 ? "failed" : "completed",
    }),
  );
  for (const run of runs) await recorder.record(run);
  expect(recorder.stats).toMatchObject({ pending: 0, dropped: 1 });
  await recorder.close(5000);
  const { items } = await store.runs.list(projectId);
  expect(items.map(({ id, snapshotId }) => [id, snapshotId]).toReversed()).toEqual(
    runs.filter(({ status }) => status === "completed").map((run) => [run.id, run.snapshotId]),
  );
  await store.close();
  rmSync(folder, { recursive: true });
}, 30_000);
