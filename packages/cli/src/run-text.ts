import type { RunRecord, StepRun } from "@millrace/core";
import { shortId } from "./plan-text.ts";
import { paintStatus, type Style } from "./style.ts";
import { formatFields, formatSection, formatTable, indent } from "./table.ts";
import { formatAgo, formatDuration } from "./time.ts";

/** A recorded run: what went in, what came out, and how long each step took. `deployment`: the name of its deployment. */
export function formatRun(
  run: RunRecord,
  {
    style,
    now,
    deployment,
  }: { readonly style: Style; readonly now: number; readonly deployment: string | null },
): string {
  const fields: [string, string][] = [
    ["Status", paintStatus(run.status, style)],
    ["Pipeline", run.pipelineName],
    ["Snapshot", shortId(run.snapshotId)],
    ["Deployment", deployment ?? "none (batch run)"],
    ["Started", `${new Date(run.startedAt).toISOString()} (${formatAgo(run.startedAt, now)})`],
    ["Duration", run.durationMs === null ? "still running" : formatDuration(run.durationMs)],
    ["Id", run.id],
  ];
  return [
    `${style("bold", run.name)}  ${paintStatus(run.status, style)}`,
    indent(formatFields(fields, style)),
    ...(run.steps.length === 0
      ? []
      : [formatSection("Steps", formatSteps(run.steps, style), style)]),
    formatSection("Inputs", JSON.stringify(run.inputs, null, 2), style),
    ...(run.outputs === null
      ? []
      : [formatSection("Outputs", JSON.stringify(run.outputs, null, 2), style)]),
    ...(run.error === null
      ? []
      : [formatSection("Error", `${run.error.code}: ${run.error.message}`, style)]),
  ].join("\n\n");
}

function formatSteps(steps: readonly StepRun[], style: Style): string {
  const time = (milliseconds: number | null) =>
    milliseconds === null ? "" : formatDuration(milliseconds);
  const rows = steps.map((step) => [
    step.step,
    paintStatus(step.status, style),
    time(step.startMs),
    time(step.durationMs),
    String(step.attempts),
  ]);
  return formatTable(["STEP", "STATUS", "STARTED AFTER", "DURATION", "ATTEMPTS"], rows, style);
}
