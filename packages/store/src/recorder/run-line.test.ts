import type { RunRecord } from "@millrace/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { appendRun, OriginNumbers, type Value } from "./batch.ts";
import { readRunLine } from "./run-line.ts";
import { runLogLine } from "./run-log-line.ts";
import { sampleRun } from "./sample-run.fixture.ts";
import { spoolLine } from "./spool-line.ts";

/** As the recorder spools it. */
function spooled(run: RunRecord): string {
  const values: Value[] = [];
  const origins = new OriginNumbers();
  appendRun(values, origins.of(run), run);
  const [origin] = origins.all;
  if (origin === undefined) throw new Error("no origin");
  return spoolLine({ origin, values: values.slice(1) });
}

const runs = fc
  .record({
    name: fc.option(fc.string({ unit: "grapheme", minLength: 1, maxLength: 200 }), {
      nil: undefined,
    }),
    deploymentId: fc.option(fc.uuid()),
    status: fc.constantFrom("completed", "failed", "running"),
    durationMs: fc.option(fc.nat({ max: 10_000_000 }).map((us) => us / 1000)),
    inputs: fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value))),
    outputs: fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value))),
    error: fc.option(
      fc.record({
        class: fc.constantFrom("pipeline", "timeout"),
        code: fc.string(),
        message: fc.string(),
        retryable: fc.boolean(),
        details: fc.constant({ step: "a" }),
      }),
    ),
  })
  .map(({ name, ...rest }) => sampleRun(name === undefined ? rest : { ...rest, name }));

const forms = fc.constantFrom(runLogLine, spooled);

test("what was logged or spooled comes back, and what was cut of it never does", () => {
  fc.assert(
    fc.property(runs, forms, fc.double({ min: 0, max: 0.999, noNaN: true }), (run, form, part) => {
      const line = form(run).trimEnd();
      expect(readRunLine(line)).toEqual({ kind: "run", run });
      expect(readRunLine(`${line}\r`)).toEqual({ kind: "run", run });
      expect(readRunLine(line.slice(0, Math.floor(line.length * part))).kind).not.toBe("run");
    }),
  );
});

test("a platform's own text before a logged run, and its JSON around it, are looked through", () => {
  fc.assert(
    fc.property(runs, (run) => {
      const line = runLogLine(run);
      expect(readRunLine(`2026-03-01T12:00:00.000Z stdout F ${line}`)).toEqual({
        kind: "run",
        run,
      });
      const printed = { time: null, replica: "1", stream: "stdout", text: line };
      expect(readRunLine(JSON.stringify(printed))).toEqual({ kind: "run", run });
      expect(readRunLine(JSON.stringify(printed).slice(0, -9)).kind).toBe("bad");
    }),
  );
});

test("a key named __proto__ comes back", () => {
  const run = sampleRun({ outputs: JSON.parse('{"__proto__":{"a":1}}') });
  const read = readRunLine(runLogLine(run));
  expect(JSON.stringify(read)).toContain('"outputs":{"__proto__":{"a":1}}');
});

test("every other line is left alone", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (line) => {
      expect(readRunLine(line).kind).toBe("other");
    }),
  );
  expect(readRunLine('{"level":"info","time":"…","run_id":"1","msg":"The run failed."}').kind).toBe(
    "other",
  );
});

const [step] = sampleRun({}).steps;

test.each([
  ["an id of another kind", { id: "0190a6e2-7b3c-4d4e-8f5a-6b7c8d9e0f1a" }, /id: is no UUIDv7/],
  ["a status that there is not", { status: "gone" }, /status/],
  ["a time that is no number", { startedAt: "now" }, /startedAt/],
  ["no steps", { steps: undefined }, /steps/],
  ["a null character in its name", { name: "a\0b" }, /name: has characters/],
  ["a null character in its pipeline's", { pipelineName: "a\0b" }, /pipelineName: has characters/],
  ["half a character in its name", { name: "a\ud800" }, /name: has characters/],
  ["an id that is a text", { snapshotId: "ä".repeat(500) }, /snapshotId: is no id/],
  ["an id that is too long", { deploymentId: "a".repeat(101) }, /deploymentId: is no id/],
  ["a step with a null character", { steps: [{ ...step, step: "a\0b" }] }, /step: has characters/],
  ["a step with endless attempts", { steps: [{ ...step, attempts: 5e9 }] }, /attempts/],
])("a run with %s is named", (_, change, reason) => {
  const run = { ...sampleRun({}), ...change };
  const line = `{"millrace":"run","level":"info","run":${JSON.stringify(run)}}`;
  expect(readRunLine(line)).toEqual({ kind: "bad", reason: expect.stringMatching(reason) });
});
