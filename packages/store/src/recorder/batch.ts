import type { RunRecord } from "@millrace/core";
import { encodeSteps, nameColumn, nullableJson, roundMs } from "../run-codec.ts";
import type { RunTexts } from "./recorder.ts";

/** What the runs of one service share: stored once, and sent to the writer once. */
export type Origin = readonly [
  projectId: string,
  pipelineName: string,
  snapshotId: string,
  deploymentId: string,
];

export type Value = string | number | null;

/** Values of a run in a batch: the number of its origin, then the columns of `RUN_COLUMNS` from `id` on. */
export const VALUES_PER_RUN = 10;
export const RUN_COLUMNS = [
  "origin_id",
  "id",
  "name",
  "status",
  "started_at",
  "duration_ms",
  "inputs",
  "outputs",
  "steps",
  "error",
] as const;

/** Runs as they travel to the writer: one flat array of bind values, because each object would cost a copy. */
export interface Batch {
  /** Counts the batches of a recorder up from 1. */
  readonly number: number;
  /** Origins that no batch before had. Their numbers count up from those before. */
  readonly origins: Origin[];
  readonly values: Value[];
}

/** Adds a run to a batch. Returns about how many bytes it takes. */
export function appendRun(
  values: Value[],
  origin: number,
  run: RunRecord,
  texts?: RunTexts,
): number {
  const inputs = texts?.inputs ?? JSON.stringify(run.inputs) ?? "null";
  const outputs = texts === undefined ? nullableJson(run.outputs) : texts.outputs;
  const steps = encodeSteps(run.steps);
  const error = nullableJson(run.error);
  values.push(
    origin,
    run.id,
    nameColumn(run),
    run.status,
    run.startedAt,
    roundMs(run.durationMs),
    inputs,
    outputs,
    steps,
    error,
  );
  return 200 + inputs.length + (outputs?.length ?? 0) + steps.length + (error?.length ?? 0);
}

/** Numbers origins in the order in which they come. */
export class OriginNumbers {
  readonly all: Origin[] = [];
  readonly #numbers = new Map<string, number>();
  #last: RunRecord | undefined;
  #lastNumber = 0;

  /** The number of a run's origin. */
  of(run: RunRecord): number {
    const last = this.#last;
    if (
      last === undefined ||
      last.snapshotId !== run.snapshotId ||
      last.deploymentId !== run.deploymentId ||
      last.pipelineName !== run.pipelineName ||
      last.projectId !== run.projectId
    ) {
      this.#lastNumber = this.#find(run);
      this.#last = run;
    }
    return this.#lastNumber;
  }

  #find(run: RunRecord): number {
    const origin: Origin = [
      run.projectId,
      run.pipelineName,
      run.snapshotId,
      run.deploymentId ?? "",
    ];
    const key = JSON.stringify(origin);
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    this.#numbers.set(key, this.all.length);
    return this.all.push(origin) - 1;
  }
}
