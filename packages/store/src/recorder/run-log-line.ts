import type { RunRecord } from "@millrace/core";

/** How a line that records a run begins, so that it is found in a log of anything, behind whatever a platform puts before it. */
export const RUN_MARK = '{"millrace":"run"';

/** One run as a line of structured log, in the form of the service's other lines. */
export function runLogLine(run: RunRecord): string {
  const line = { level: "info", time: new Date().toISOString(), run, msg: "Run recorded." };
  return `${RUN_MARK},${JSON.stringify(line).slice(1)}`;
}
