import { createHash } from "node:crypto";
import {
  type JsonValue,
  type RunRecord,
  type ServingSettings,
  summarizeError,
} from "@millrace/core";
import type { Run } from "@millrace/engine";
import type { Recorder } from "@millrace/store";

/** What the records of all runs of this process share. */
export type RunIdentity = Pick<
  RunRecord,
  "projectId" | "pipelineName" | "snapshotId" | "deploymentId"
>;

export interface RunRecording {
  /**
   * Records a run that has ended, as the mode wants it. A promise that it returns has to be awaited before the answer.
   */
  ended(run: Run): Promise<void> | undefined;
  /** The record of a run as it stands. */
  record(run: Run): RunRecord;
  /** Records that a run goes on, so that it is not lost when the process dies. */
  goesOn(run: Run): void;
}

/** Decides which runs are recorded, and what of them. */
export function makeRunRecording(
  recorder: Recorder,
  tracking: ServingSettings["tracking"],
  identity: RunIdentity,
): RunRecording {
  const toRecord = (run: Run): RunRecord => ({
    id: run.id,
    name: run.name,
    ...identity,
    status: run.status,
    startedAt: run.startedAt,
    durationMs: run.durationMs,
    inputs: payload(run.input, tracking.maxPayloadBytes),
    outputs: run.outputs === null ? null : payload(run.outputs, tracking.maxPayloadBytes),
    steps: run.stepRuns(),
    error: run.error === null ? null : summarizeError(run.error),
  });
  const wanted: (run: Run) => boolean =
    tracking.mode === "sampled"
      ? (run) => inSample(run.id, tracking.sampleRate)
      : () => tracking.mode !== "off";
  return {
    record: toRecord,
    ended(run) {
      const failed = run.status !== "completed" && tracking.mode !== "off";
      return failed || wanted(run) ? recorder.record(toRecord(run)) : undefined;
    },
    goesOn(run) {
      // Nobody waits for it: a recorder never rejects, and the run is recorded again when it ends.
      if (wanted(run)) void recorder.record(toRecord(run));
    },
  };
}

/** The same answer for a run whenever it is asked: the last 32 bits of a UUIDv7 are random. */
function inSample(runId: string, rate: number): boolean {
  return Number.parseInt(runId.slice(-8), 16) < rate * 0x1_0000_0000;
}

/** A value as the record keeps it: itself, or its size and digest when it is too large. */
function payload(value: unknown, maxBytes: number): JsonValue {
  const text = jsonText(value);
  if (text === undefined) return null;
  if (text.length <= maxBytes / 3 || Buffer.byteLength(text) <= maxBytes) return value as JsonValue;
  const sha256 = createHash("sha256").update(text).digest("hex");
  return { truncated: true, size: Buffer.byteLength(text), sha256 };
}

/** JSON text of a value; undefined when it has none (a bigint, a value that contains itself). */
export function jsonText(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}
