import { closeSync, existsSync, openSync, readSync } from "node:fs";
import type { LogLine, LogQuery, ReadContext } from "@millrace/core";
import { type LogFile, listLogFiles } from "./log-files.ts";
import { parseLogLine } from "./log-line.ts";
import { isErrorCode } from "./system-error.ts";

/** Where a reader is: everything before `offset` in the file and all older files have been read. */
interface Place {
  readonly number: number;
  readonly offset: number;
}

const CHUNK_BYTES = 1024 * 1024;
const FOLLOW_INTERVAL_MS = 100;

/** The lines of a log folder, oldest first. With `follow`, ends when the signal aborts or the folder is gone. */
export async function* readLogs(
  folder: string,
  query: LogQuery,
  context: ReadContext,
): AsyncGenerator<LogLine> {
  const place = yield* readPast(folder, query);
  if (query.follow !== true) return;
  let next = place;
  while (await sleptUnlessAborted(context)) {
    if (!existsSync(folder)) return;
    next = yield* readFrom(folder, next);
  }
}

function* readPast(folder: string, query: LogQuery): Generator<LogLine, Place> {
  const since = query.since?.getTime() ?? Number.NEGATIVE_INFINITY;
  const files = listLogFiles(folder);
  const last = files.at(-1);
  const end = { number: last?.number ?? 0, offset: last?.size ?? 0 };
  if (query.tail === undefined) {
    const reader = readFrom(folder, { number: 0, offset: 0 }, end);
    for (let step = reader.next(); ; step = reader.next()) {
      if (step.done === true) return step.value;
      if (isSince(step.value, since)) yield step.value;
    }
  }
  const { lines, place } = lastLines(folder, files, query.tail, since);
  yield* lines;
  return place;
}

/** Reads the newest files first, and no more of them than it needs. */
function lastLines(
  folder: string,
  files: readonly LogFile[],
  count: number,
  since: number,
): { lines: LogLine[]; place: Place } {
  let lines: LogLine[] = [];
  let place: Place = { number: 0, offset: 0 };
  for (const file of files.toReversed()) {
    const reader = readFrom(
      folder,
      { number: file.number, offset: 0 },
      { number: file.number, offset: file.size },
    );
    const found: LogLine[] = [];
    let step = reader.next();
    for (; step.done !== true; step = reader.next()) {
      if (isSince(step.value, since)) found.push(step.value);
    }
    if (place.number === 0) place = step.value;
    lines = [...found, ...lines];
    if (lines.length >= count) break;
  }
  return { lines: count === 0 ? [] : lines.slice(-count), place };
}

function isSince(line: LogLine, since: number): boolean {
  return line.time === null || line.time.getTime() >= since;
}

/** Whole lines from a place on, up to `end` where given; returns the place after the last one. */
function* readFrom(folder: string, start: Place, end?: Place): Generator<LogLine, Place> {
  let place = start;
  for (const file of listLogFiles(folder)) {
    if (file.number < start.number) continue;
    if (end !== undefined && file.number > end.number) break;
    const offset = file.number === start.number ? start.offset : 0;
    const size = file.number === end?.number ? end.offset : file.size;
    place = { number: file.number, offset: yield* readFile(file.path, offset, size) };
  }
  return place;
}

function* readFile(path: string, start: number, end: number): Generator<LogLine, number> {
  let descriptor: number;
  try {
    descriptor = openSync(path, "r");
  } catch (error) {
    // Rotation deleted it after it was listed.
    if (isErrorCode(error, "ENOENT")) return end;
    throw error;
  }
  try {
    return yield* readLines(descriptor, start, end);
  } finally {
    closeSync(descriptor);
  }
}

function* readLines(descriptor: number, start: number, end: number): Generator<LogLine, number> {
  const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, Math.max(0, end - start)));
  let position = start;
  let rest = Buffer.alloc(0);
  while (position < end) {
    const length = readSync(descriptor, chunk, 0, Math.min(chunk.length, end - position), position);
    if (length === 0) break;
    position += length;
    rest = Buffer.concat([rest, chunk.subarray(0, length)]);
    for (let newline = rest.indexOf(10); newline !== -1; newline = rest.indexOf(10)) {
      yield parseLogLine(rest.toString("utf8", 0, newline));
      rest = rest.subarray(newline + 1);
    }
  }
  return position - rest.length;
}

async function sleptUnlessAborted({ clock, signal }: ReadContext): Promise<boolean> {
  try {
    await clock.sleep(FOLLOW_INTERVAL_MS, signal);
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    throw error;
  }
}
