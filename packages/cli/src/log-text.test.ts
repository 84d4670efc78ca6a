import { expect, test } from "vitest";
import { formatLogLine } from "./log-text.ts";
import { plain } from "./style.ts";

const shown = (text: string): string =>
  formatLogLine({ text, time: null, stream: "stdout", replica: null }, plain);

const run = {
  id: "0190a6e2",
  name: "weather-1",
  status: "completed",
  durationMs: 2.6,
  error: null,
};
const lineOf = (record: object): string =>
  JSON.stringify({ millrace: "run", level: "info", run: record, msg: "Run recorded." });

test("a run that is recorded in the log is a sentence, with its id", () => {
  expect(shown(lineOf(run))).toBe("info  Run weather-1: completed after 2.6 ms. run=0190a6e2");
  const failed = { ...run, status: "failed", error: { message: "The step is broken." } };
  expect(shown(lineOf(failed))).toBe(
    "info  Run weather-1: failed after 2.6 ms. The step is broken. run=0190a6e2",
  );
  expect(shown(lineOf({ ...run, status: "running", durationMs: null }))).toBe(
    "info  Run weather-1: running. run=0190a6e2",
  );
});

test("what only looks like one stays as it is", () => {
  expect(shown('{"level":"info","msg":"Hello.","run":{"id":"r"}}')).toBe(
    'info  Hello. run={"id":"r"}',
  );
  expect(shown(lineOf({ id: 7 }))).toBe('info  Run recorded. millrace=run run={"id":7}');
});
