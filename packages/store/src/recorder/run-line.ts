import { isMillraceError, parse, type RunRecord } from "@millrace/core";
import { decodeStep, nameOf, type StepTuple } from "../run-codec.ts";
import { RUN_MARK } from "./run-log-line.ts";
import { runRecordSchema } from "./run-record.ts";
import { parseSpoolLine, SPOOL_MARK } from "./spool-line.ts";

/** What a line of text holds. */
export type RunLine =
  | { readonly kind: "run"; readonly run: RunRecord }
  | { readonly kind: "other" }
  | { readonly kind: "bad"; readonly reason: string };

const OTHER: RunLine = { kind: "other" };

/**
 * Reads a line of a service's log or of a spool. Before a run's line may stand what a platform puts there (a time, a
 * stream), and a line may lie in the `text` of a JSON object, as `millrace deployment logs --output json` prints it.
 */
export function readRunLine(text: string): RunLine {
  const line = text.trim();
  if (line.startsWith(SPOOL_MARK)) return readSpooled(line);
  const at = line.indexOf(RUN_MARK);
  if (at >= 0) return readLogged(line.slice(at));
  // The mark as it looks inside a JSON string.
  if (!line.startsWith("{") || !line.includes(JSON.stringify(RUN_MARK).slice(1, -1))) return OTHER;
  const outer = jsonOf(line);
  return hasText(outer) ? readRunLine(outer.text) : { kind: "bad", reason: NOT_WHOLE };
}

const NOT_WHOLE = "it is no whole JSON: it may have been cut";

function readLogged(text: string): RunLine {
  const line = jsonOf(text);
  if (line === undefined) return { kind: "bad", reason: NOT_WHOLE };
  return checked(typeof line === "object" && line !== null && "run" in line ? line.run : undefined);
}

function readSpooled(text: string): RunLine {
  const spooled = parseSpoolLine(text);
  if (spooled === null)
    return { kind: "bad", reason: "it is no whole line of a spool, or that of another version" };
  const [projectId, pipelineName, snapshotId, deploymentId] = spooled.origin;
  const [id, name, status, startedAt, durationMs, inputs, outputs, steps, error] = spooled.values;
  const tuples = jsonOf(steps);
  return checked({
    id,
    name: nameOf(typeof name === "string" ? name : null, pipelineName, String(id)),
    projectId,
    pipelineName,
    snapshotId,
    deploymentId: deploymentId === "" ? null : deploymentId,
    status,
    startedAt,
    durationMs,
    inputs: jsonOf(inputs),
    outputs: outputs === null ? null : jsonOf(outputs),
    steps: isStepTuples(tuples) ? tuples.map(decodeStep) : undefined,
    error: error === null ? null : jsonOf(error),
  });
}

function checked(value: unknown): RunLine {
  try {
    return {
      kind: "run",
      run: parse(runRecordSchema, value, { what: "the run", code: "RUN_BAD" }),
    };
  } catch (thrown) {
    if (!isMillraceError(thrown)) throw thrown;
    return { kind: "bad", reason: thrown.message };
  }
}

/** Undefined when it is no JSON. */
function jsonOf(text: unknown): unknown {
  try {
    return typeof text === "string" ? JSON.parse(text) : undefined;
  } catch {
    return undefined;
  }
}

function isStepTuples(value: unknown): value is readonly StepTuple[] {
  return Array.isArray(value) && value.every(Array.isArray);
}

function hasText(value: unknown): value is { readonly text: string } {
  return (
    typeof value === "object" && value !== null && "text" in value && typeof value.text === "string"
  );
}
