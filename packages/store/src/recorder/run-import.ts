import type { RunRecord } from "@millrace/core";
import type { Store } from "../store.ts";
import type { RunImport, RunImportOptions } from "./import.ts";
import { readRunLine } from "./run-line.ts";

/** A batch is one transaction, which a database elsewhere must have within its time: whichever is reached first. */
const BATCH_RUNS = 500;
const BATCH_CHARACTERS = 4 * 1024 * 1024;
/** Longer lines than this are not runs: two payloads have 16 MiB each at most. */
const MAX_LINE_CHARACTERS = 64 * 1024 * 1024;
/** So many bad lines are named; the others are counted. */
const MAX_NAMED = 100;

export async function importLines(
  store: Store,
  source: AsyncIterable<Uint8Array>,
  { projectId, adopt, signal }: RunImportOptions,
): Promise<RunImport> {
  const bad: { line: number; reason: string }[] = [];
  const counts = { lines: 0, runs: 0, recorded: 0, skipped: 0, badLines: 0 };
  const name = (reason: string): void => {
    counts.badLines += 1;
    if (bad.length < MAX_NAMED) bad.push({ line: counts.lines, reason });
  };
  let batch: RunRecord[] = [];
  let characters = 0;
  const write = async () => {
    signal?.throwIfAborted();
    counts.recorded += await store.runs.record(batch);
    counts.runs += batch.length;
    batch = [];
    characters = 0;
  };
  for await (const text of linesOf(source)) {
    counts.lines += 1;
    const line = text === null ? TOO_LONG : readRunLine(text);
    if (line.kind === "other") counts.skipped += 1;
    else if (line.kind === "bad") name(line.reason);
    else if (line.run.projectId === projectId) batch.push(line.run);
    else if (adopt) batch.push({ ...line.run, projectId });
    else name(`the run belongs to another project (${line.run.projectId})`);
    if (line.kind === "run") characters += text?.length ?? 0;
    if (batch.length === BATCH_RUNS || characters >= BATCH_CHARACTERS) await write();
  }
  await write();
  return { ...counts, bad };
}

const TOO_LONG = {
  kind: "bad",
  reason: `it is longer than ${MAX_LINE_CHARACTERS} characters`,
} as const;

/** Lines without their ends; null for one that is too long to be kept. */
async function* linesOf(source: AsyncIterable<Uint8Array>): AsyncGenerator<string | null> {
  const decoder = new TextDecoder();
  let rest: string | null = "";
  for await (const chunk of source) {
    const [first = "", ...more] = decoder.decode(chunk, { stream: true }).split("\n");
    rest = joined(rest, first);
    for (const next of more) {
      yield rest;
      rest = next;
    }
  }
  rest = joined(rest, decoder.decode());
  if (rest !== "") yield rest;
}

function joined(rest: string | null, more: string): string | null {
  return rest === null || rest.length + more.length > MAX_LINE_CHARACTERS ? null : rest + more;
}
