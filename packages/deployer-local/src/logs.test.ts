import { appendFileSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LogLine, ReadContext } from "@millrace/core";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { formatLogLine, parseLogLine } from "./log-line.ts";
import { readLogs } from "./log-reader.ts";
import { LogWriter } from "./log-writer.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "millrace-logs-"));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

const context: ReadContext = {
  signal: new AbortController().signal,
  clock: { now: Date.now, sleep: async () => {} },
  progress: () => {},
};

const lines: fc.Arbitrary<LogLine> = fc.record({
  time: fc.date({ min: new Date(0), max: new Date("2100-01-01"), noInvalidDate: true }),
  replica: fc.constantFrom("worker-1", "supervisor"),
  stream: fc.constantFrom("stdout", "stderr"),
  text: fc.string({ unit: "grapheme", maxLength: 200 }).map((text) => text.replaceAll("\n", "")),
});

function read(where: string, query = {}): Promise<LogLine[]> {
  return Array.fromAsync(readLogs(where, query, context));
}

test("a line is read as it was written", () => {
  fc.assert(
    fc.property(lines, (line) => {
      const written = formatLogLine(line);
      expect(written.endsWith("\n")).toBe(true);
      expect(parseLogLine(written.slice(0, -1))).toEqual(line);
    }),
  );
});

test("any text can be read", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(parseLogLine(text).text.length).toBeLessThanOrEqual(text.length);
    }),
  );
});

test("tail gives the last lines of all files, in order, and rotation loses only old ones", async () => {
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(lines, { maxLength: 60 }),
      fc.nat({ max: 70 }),
      fc.integer({ min: 300, max: 5_000 }),
      async (written, tail, maxBytes) => {
        run += 1;
        const where = join(folder, String(run));
        const writer = new LogWriter(where, { maxBytes, files: 3 });
        for (const line of written) writer.write([line]);
        const kept = await read(where);
        expect(kept).toEqual(kept.length === 0 ? [] : written.slice(-kept.length));
        expect(await read(where, { tail })).toEqual(tail === 0 ? [] : kept.slice(-tail));
        if (written.length > 0) expect(readdirSync(where).length).toBeLessThanOrEqual(3);
      },
    ),
    { numRuns: 60 },
  );
});

test("files stay within their size and are their owner's alone", () => {
  const writer = new LogWriter(folder, { maxBytes: 1_000, files: 3 });
  const line: LogLine = {
    time: new Date(),
    replica: "worker-1",
    stream: "stdout",
    text: "x".repeat(90),
  };
  for (let i = 0; i < 100; i++) writer.write([line]);
  const files = readdirSync(folder).map((name) => statSync(join(folder, name)));
  expect(files).toHaveLength(3);
  for (const { size, mode } of files) {
    expect(size).toBeLessThanOrEqual(1_000);
    expect(mode & 0o077).toBe(0);
  }
});

const one: LogLine = { time: new Date(1), replica: "worker-1", stream: "stdout", text: "one" };
const two: LogLine = { time: new Date(2), replica: "worker-1", stream: "stderr", text: "two" };

test("a line that a crash cut off does not swallow the next one", async () => {
  new LogWriter(folder, { maxBytes: 1_000, files: 2 }).write([one]);
  appendFileSync(join(folder, "000000001.log"), "1970-01-01T00:0");
  new LogWriter(folder, { maxBytes: 1_000, files: 2 }).write([two]);
  expect(await read(folder)).toEqual([
    one,
    { time: null, replica: null, stream: "stdout", text: "1970-01-01T00:0" },
    two,
  ]);
});

test("lines that cannot be written are counted, and the count is told once that works again", async () => {
  const where = join(folder, "logs");
  writeFileSync(where, "a file where the folder should be");
  const writer = new LogWriter(where, { maxBytes: 1_000, files: 2 });
  writer.write([one, one]);
  writer.write([one]);
  rmSync(where);
  writer.write([two]);
  expect(await read(where)).toEqual([
    expect.objectContaining({
      replica: "supervisor",
      text: expect.stringMatching(/^3 log lines could not be written .*(ENOTDIR|EEXIST)/),
    }),
    two,
  ]);
});

test("since leaves out what is older", async () => {
  new LogWriter(folder, { maxBytes: 1_000, files: 2 }).write([one, two]);
  expect(await read(folder, { since: new Date(2) })).toEqual([two]);
});
