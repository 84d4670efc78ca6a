import type { JsonValue } from "../json.ts";

/** Where a value of a step's input or of a pipeline's output comes from. Plain data: it is stored in the snapshot. */
export type Wire =
  /** A field of the pipeline's input. */
  | { readonly from: "input"; readonly path: readonly (string | number)[] }
  /** A field of a step's output. */
  | { readonly from: "step"; readonly step: string; readonly path: readonly (string | number)[] }
  | { readonly from: "value"; readonly value: JsonValue }
  | { readonly from: "object"; readonly fields: { readonly [key: string]: Wire } }
  | { readonly from: "array"; readonly items: readonly Wire[] };

export interface RetryPolicy {
  /** How often a failed attempt is repeated. 0 means never. */
  readonly limit: number;
  /** Wait before the first repeat, in milliseconds. */
  readonly delayMs: number;
  /** Each wait is the one before times this factor. */
  readonly factor: number;
  /** No wait is longer than this, in milliseconds. */
  readonly maxDelayMs: number;
}

export interface CachePolicy {
  /** How long a cached output stays valid, in seconds. */
  readonly ttlSeconds: number;
}

/** One step of the graph: plain data, stored in the snapshot. */
export interface GraphStep {
  /** Unique within the pipeline: the step's name, with `_2`, `_3` … for further uses of the same step. */
  readonly id: string;
  /** The name of the step definition. */
  readonly name: string;
  readonly input: Wire;
  /** Ids of all steps that must finish first, in order of first mention: data and `after` dependencies. */
  readonly after: readonly string[];
  readonly retries: RetryPolicy;
  /** Deadline of one attempt in seconds; null means that only the run's deadline applies. */
  readonly timeoutSeconds: number | null;
  readonly cache: CachePolicy | null;
}

/** The shape of a pipeline, fixed when the snapshot is made. `steps` is in topological order. */
export interface Graph {
  readonly steps: readonly GraphStep[];
  readonly outputs: { readonly [name: string]: Wire };
}

/** Ids of the steps that a wire reads from, each once, in order of first mention. */
export function stepsOf(wire: Wire): string[] {
  switch (wire.from) {
    case "step":
      return [wire.step];
    case "object":
      return [...new Set(Object.values(wire.fields).flatMap(stepsOf))];
    case "array":
      return [...new Set(wire.items.flatMap(stepsOf))];
    default:
      return [];
  }
}
