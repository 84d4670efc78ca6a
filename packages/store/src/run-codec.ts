import { defaultRunName, isDefaultRunName, type RunRecord, type StepRun } from "@millrace/core";

/** The name as the column holds it: a default name costs neither a column nor an index entry. */
export function nameColumn(run: Pick<RunRecord, "id" | "name" | "pipelineName">): string | null {
  const { id, name, pipelineName } = run;
  return isDefaultRunName(name, pipelineName, id) ? null : name;
}

export function nameOf(column: string | null, pipelineName: string, id: string): string {
  return column ?? defaultRunName(pipelineName, id);
}

/**
 * Step runs as one compact column: an array of `[step, start, duration, attempts, status]`, times in whole
 * microseconds; what most steps have in common, one attempt and `completed`, is left out at the end. The view
 * `step_runs` of each dialect reads the same form.
 */
export function encodeSteps(steps: readonly StepRun[]): string {
  return JSON.stringify(steps.map(encodeStep));
}

export type StepTuple = [string, number | null, number | null, number?, StepRun["status"]?];

function encodeStep(step: StepRun): StepTuple {
  const start = toMicroseconds(step.startMs);
  const duration = toMicroseconds(step.durationMs);
  if (step.status !== "completed") return [step.step, start, duration, step.attempts, step.status];
  if (step.attempts !== 1) return [step.step, start, duration, step.attempts];
  return [step.step, start, duration];
}

export function decodeStep([step, start, duration, attempts = 1, status]: StepTuple): StepRun {
  return {
    step,
    status: status ?? "completed",
    startMs: start === null ? null : start / 1000,
    durationMs: duration === null ? null : duration / 1000,
    attempts,
  };
}

/** Whole numbers, because the digits of a fraction cost time and bytes in every row. */
function toMicroseconds(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 1000);
}

/** Milliseconds with three decimals. */
export function roundMs(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 1000) / 1000;
}

/** Null is the most common output and error of what failed or did not: it needs no text. */
export function nullableJson(value: unknown): string | null {
  return value === null || value === undefined ? null : JSON.stringify(value);
}

/**
 * When a later record of a run takes the place of the one that the store has. `interrupted` is only a guess: a process that was
 * cut off from the store, or slept, brings the run's end after it.
 */
export const REPLACES = `runs.status = 'running'
  or (runs.status = 'interrupted' and excluded.status not in ('running', 'interrupted'))`;

function replaces(before: unknown, after: unknown): boolean {
  return (
    before === "running" ||
    (before === "interrupted" && after !== "running" && after !== "interrupted")
  );
}

/** One row per run, because a statement cannot write a row twice: the one that would be left of them all. */
export function oncePerRun<Row>(
  rows: readonly Row[],
  keyOf: (row: Row) => { readonly id: unknown; readonly status: unknown },
): Row[] {
  const kept = new Map<unknown, Row>();
  for (const row of rows) {
    const { id, status } = keyOf(row);
    const before = kept.get(id);
    if (before === undefined || replaces(keyOf(before).status, status)) kept.set(id, row);
  }
  return [...kept.values()];
}
