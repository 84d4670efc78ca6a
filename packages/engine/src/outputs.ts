import type { MillraceError, Wire } from "@millrace/core";
import { outputNotJson } from "./failures.ts";
import { jsonLoss, unreadable } from "./json-output.ts";
import type { ScheduledOutput } from "./schedule.ts";
import type { Source } from "./wire.ts";

export interface Outputs {
  /** By name. */
  readonly values: Readonly<Record<string, unknown>>;
  /** The same as JSON text. */
  readonly text: string;
}

/** Collects the outputs of a run and writes them as JSON; an error `OUTPUT_NOT_JSON` in place of what cannot be written. */
export function writeOutputs(
  outputs: readonly ScheduledOutput[],
  input: unknown,
  steps: readonly Source[],
): Outputs | MillraceError {
  const values: Record<string, unknown> = {};
  for (const { name, read, wire } of outputs) {
    try {
      values[name] = read(input, steps);
    } catch (cause) {
      return outputNotJson(stepAt(wire, []), { path: [name], message: unreadable(cause) }, cause);
    }
  }
  let text: string | undefined;
  let refusal: unknown;
  try {
    text = JSON.stringify(values);
  } catch (thrown) {
    refusal = thrown;
  }
  for (const { name, wire, jsonOnly } of outputs) {
    if (jsonOnly && text !== undefined) continue;
    const loss = jsonLoss(values[name]);
    if (loss === undefined) continue;
    const issue = { path: [name, ...loss.path], message: loss.message };
    return outputNotJson(stepAt(wire, loss.path), issue, refusal);
  }
  if (text !== undefined) return { values, text };
  return outputNotJson(null, { path: [], message: unreadable(refusal) }, refusal);
}

/** Id of the step that the value at a path of an output came from; null when it came from none. */
function stepAt(wire: Wire, path: readonly (string | number)[]): string | null {
  const [key, ...rest] = path;
  switch (wire.from) {
    case "step":
      return wire.step;
    case "object":
      return memberAt(wire.fields[String(key)], rest);
    case "array":
      return memberAt(wire.items[Number(key)], rest);
    default:
      return null;
  }
}

function memberAt(wire: Wire | undefined, path: readonly (string | number)[]): string | null {
  return wire === undefined ? null : stepAt(wire, path);
}
