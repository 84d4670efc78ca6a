import { randomBytes, randomInt } from "node:crypto";
import { describe, expect, test } from "vitest";
import { importRuns, openStore } from "../index.ts";
import { runLogLine } from "./run-log-line.ts";
import { sampleRun } from "./sample-run.fixture.ts";

/** Pieces of a text that end anywhere, also inside of a character. */
async function* pieces(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let start = 0; start < bytes.length; start += size)
    yield bytes.subarray(start, start + size);
}

/** Characters of three bytes each, in no order that a database could compress. */
function randomText(length: number): string {
  return String.fromCodePoint(...Array.from({ length }, () => 0x4e00 + randomInt(20_000)));
}

/** What reading runs back does, whatever the database is. */
export function importSuite(freshUrl: () => string | Promise<string>): void {
  describe("reading runs back", () => {
    test("takes each run once, skips what is not about runs, and names what it cannot read", async () => {
      const store = await openStore({ url: await freshUrl() });
      const { id: projectId } = await store.projects.ensure("default");
      const runs = Array.from({ length: 1203 }, () => sampleRun({ projectId, inputs: "ä→𝄞" }));
      const [first = sampleRun({})] = runs;
      await store.runs.record([{ ...first, status: "running", outputs: null, durationMs: null }]);
      const text = [
        '{"level":"info","msg":"The service is ready."}',
        ...runs.map(runLogLine),
        runLogLine(first).slice(0, 100),
        runLogLine(sampleRun({ projectId: "another" })),
        "",
        runLogLine(first),
      ].join("\n");
      const result = await importRuns(store, pieces(text, 1000), { projectId });
      expect(result).toEqual({
        lines: 1208,
        runs: 1204,
        recorded: 1203,
        skipped: 2,
        badLines: 2,
        bad: [
          { line: 1205, reason: expect.stringContaining("cut") },
          { line: 1206, reason: expect.stringContaining("another project (another)") },
        ],
      });
      expect(await store.runs.find(projectId, first.id)).toEqual(first);
      const again = await importRuns(store, pieces(text, 4096), { projectId, adopt: true });
      expect(again).toMatchObject({ runs: 1205, recorded: 1, badLines: 1 });
      await store.close();
    });

    test("stops when it is told to, and leaves what it wrote", async () => {
      const store = await openStore({ url: await freshUrl() });
      const { id: projectId } = await store.projects.ensure("default");
      const runs = Array.from({ length: 600 }, () => sampleRun({ projectId }));
      const controller = new AbortController();
      async function* source() {
        yield Buffer.from(`${runs.slice(0, 500).map(runLogLine).join("\n")}\n`);
        controller.abort(new Error("enough"));
        yield Buffer.from(`${runs.slice(500).map(runLogLine).join("\n")}\n`);
      }
      const { signal } = controller;
      await expect(importRuns(store, source(), { projectId, signal })).rejects.toThrow("enough");
      expect((await store.runs.list(projectId, { limit: 1000 })).items).toHaveLength(500);
      await store.close();
    });

    test("takes whatever a run may hold, and every other line beside one that it cannot take", async () => {
      const store = await openStore({ url: await freshUrl() });
      const { id: projectId } = await store.projects.ensure("default");
      const largest = sampleRun({
        projectId,
        name: randomText(500),
        pipelineName: randomText(500),
        snapshotId: randomBytes(50).toString("hex"),
        deploymentId: randomBytes(50).toString("hex"),
        inputs: "a\0b\ud800",
        outputs: { "a\0b": null },
      });
      const text = [
        runLogLine(sampleRun({ projectId, name: "a\0b" })),
        runLogLine(largest),
        runLogLine(sampleRun({ projectId, pipelineName: "a\0b" })),
      ].join("\n");
      expect(await importRuns(store, pieces(text, 4096), { projectId })).toMatchObject({
        recorded: 1,
        bad: [{ line: 1 }, { line: 3 }],
      });
      expect(await store.runs.find(projectId, largest.id)).toEqual(largest);
      await store.close();
    });

    test("writes large runs some megabytes at a time", async () => {
      const store = await openStore({ url: await freshUrl() });
      const { id: projectId } = await store.projects.ensure("default");
      const controller = new AbortController();
      async function* source() {
        for (let count = 0; count < 10; count++) {
          const run = sampleRun({ projectId, inputs: "x".repeat(1024 * 1024) });
          yield Buffer.from(`${runLogLine(run)}\n`);
        }
        controller.abort(new Error("enough"));
      }
      const { signal } = controller;
      await expect(importRuns(store, source(), { projectId, signal })).rejects.toThrow("enough");
      expect((await store.runs.list(projectId)).items).toHaveLength(8);
      await store.close();
    });
  });
}
