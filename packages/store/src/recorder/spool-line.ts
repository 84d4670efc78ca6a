import { type Origin, VALUES_PER_RUN, type Value } from "./batch.ts";

/** Form of the lines, so that a later version can read what an earlier one left behind. */
const VERSION = 1;
/** How every line begins. */
export const SPOOL_MARK = `[${VERSION},"`;

export interface SpooledRun {
  readonly origin: Origin;
  /** As in a batch, without the number of the origin. */
  readonly values: readonly Value[];
}

/** One JSON array per run: version, origin, columns. It ends with a line feed, and has no other. */
export function spoolLine({ origin, values }: SpooledRun): string {
  return `${JSON.stringify([VERSION, ...origin, ...values])}\n`;
}

const TYPES = [
  // version, then the origin
  "number",
  "string",
  "string",
  "string",
  "string",
  // id, name, status, started_at, duration_ms, inputs, outputs, steps, error
  "string",
  "string?",
  "string",
  "integer",
  "number?",
  "string",
  "string?",
  "string",
  "string?",
] as const;

/** Null when the line is torn or of an unknown form. */
export function parseSpoolLine(line: string): SpooledRun | null {
  const parts = parseJson(line);
  if (!Array.isArray(parts) || parts.length !== TYPES.length || parts[0] !== VERSION) return null;
  const checked: Value[] = [];
  for (const [i, type] of TYPES.entries()) {
    const part: unknown = parts[i];
    if (typeof part === "string" && type.startsWith("string")) checked.push(part);
    else if (typeof part === "number" && type.startsWith("number")) checked.push(part);
    else if (Number.isSafeInteger(part) && type === "integer") checked.push(Number(part));
    else if (part === null && type.endsWith("?")) checked.push(part);
    else return null;
  }
  const [projectId, pipelineName, snapshotId, deploymentId] = checked.slice(1, 5).map(String);
  if (projectId === undefined || pipelineName === undefined) return null;
  if (snapshotId === undefined || deploymentId === undefined) return null;
  return {
    origin: [projectId, pipelineName, snapshotId, deploymentId],
    values: checked.slice(1 - VALUES_PER_RUN),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
