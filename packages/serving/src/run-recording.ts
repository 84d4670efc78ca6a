import { createHash } from "node:crypto";
import {
  type JsonValue,
  type RunRecord,
  type Secret,
  type ServingSettings,
  summarizeError,
} from "@millrace/core";
import type { Run } from "@millrace/engine";
import type { Recorder } from "@millrace/store";

/** What the records of all runs of this process share. */
export interface RunIdentity
  extends Pick<RunRecord, "projectId" | "pipelineName" | "snapshotId" | "deploymentId"> {
  /** Errors are recorded without their values. */
  readonly secrets: readonly Secret[];
}

/** JSON text of what a run was given and what it gave; undefined where there is none. Made once per run. */
export interface RunTexts {
  readonly input: string | undefined;
  readonly outputs: string | undefined;
}

export function textsOf(run: Run): RunTexts {
  return {
    input: jsonText(run.input),
    outputs: run.outputsText,
  };
}

export interface RunRecording {
  /**
   * Records a run that has ended, as the mode wants it. A promise that it returns has to be awaited before the answer;
   * it resolves to whether the run is recorded.
   */
  ended(run: Run, texts: RunTexts): Promise<boolean> | undefined;
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
  const { mode, maxPayloadBytes, sampleRate } = tracking;
  const record = (run: Run, texts: RunTexts): Promise<boolean> | undefined => {
    const inputs = payload(run.input, texts.input, maxPayloadBytes);
    const outputs = payload(run.outputs, texts.outputs, maxPayloadBytes);
    return recorder.record(recordOf(run, identity, inputs.value, outputs.value), {
      inputs: inputs.text ?? "null",
      outputs: outputs.text,
    });
  };
  const wanted: (run: Run) => boolean =
    mode === "sampled" ? (run) => inSample(run.id, sampleRate) : () => mode !== "off";
  return {
    ended(run, texts) {
      const failed = run.status !== "completed" && mode !== "off";
      return failed || wanted(run) ? record(run, texts) : undefined;
    },
    record(run) {
      const { input, outputs } = textsOf(run);
      return recordOf(
        run,
        identity,
        payload(run.input, input, maxPayloadBytes).value,
        payload(run.outputs, outputs, maxPayloadBytes).value,
      );
    },
    goesOn(run) {
      // Nobody waits for it: a recorder never rejects, and the run is recorded again when it ends.
      if (wanted(run)) void record(run, textsOf(run));
    },
  };
}

function recordOf(
  run: Run,
  identity: RunIdentity,
  inputs: JsonValue,
  outputs: JsonValue,
): RunRecord {
  return {
    id: run.id,
    name: run.name,
    projectId: identity.projectId,
    pipelineName: identity.pipelineName,
    snapshotId: identity.snapshotId,
    deploymentId: identity.deploymentId,
    status: run.status,
    startedAt: run.startedAt,
    durationMs: run.durationMs,
    inputs,
    outputs,
    steps: run.stepRuns(),
    error: run.error === null ? null : summarizeError(run.error, identity.secrets),
  };
}

/** The same answer for a run whenever it is asked: the last 32 bits of a UUIDv7 are random. */
function inSample(runId: string, rate: number): boolean {
  return Number.parseInt(runId.slice(-8), 16) < rate * 0x1_0000_0000;
}

interface Payload {
  readonly value: JsonValue;
  readonly text: string | null;
}

/** A value as the record keeps it: itself, or its size and digest when it is too large. */
function payload(value: unknown, text: string | undefined, maxBytes: number): Payload {
  if (text === undefined) return { value: null, text: null };
  // No character takes more than three bytes.
  if (text.length <= maxBytes / 3 || Buffer.byteLength(text) <= maxBytes) {
    return { value: value as JsonValue, text };
  }
  const sha256 = createHash("sha256").update(text).digest("hex");
  const truncated = { truncated: true, size: Buffer.byteLength(text), sha256 };
  return { value: truncated, text: JSON.stringify(truncated) };
}

/** JSON text of a value; undefined when it has none (a bigint, a value that contains itself). */
export function jsonText(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}
