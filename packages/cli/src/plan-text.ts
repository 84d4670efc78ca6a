import type { DeploymentPlan } from "@millrace/control";
import type { FieldChange, JsonValue, ResourceChange } from "@millrace/core";
import type { Format, Style } from "./style.ts";

const SIGN: Readonly<Record<ResourceChange["action"], readonly [sign: string, format: Format]>> = {
  create: ["+", "green"],
  update: ["~", "yellow"],
  replace: ["±", "yellow"],
  delete: ["-", "red"],
  "no-op": ["=", "dim"],
};

const TITLE: Readonly<Record<DeploymentPlan["action"], string>> = {
  create: "will be created",
  update: "will be updated in place",
  replace: "will be replaced",
  "no-op": "has no changes",
};

/** A plan as lines of `+`, `~`, `±` and `-`, one per resource and one per field that differs. */
export function formatPlan(plan: DeploymentPlan, style: Style): string {
  const title = `Deployment ${style("bold", plan.deployment)} ${titleOf(plan)}.`;
  const { from, to } = plan.snapshot;
  const snapshot = from === null || from === to ? shortId(to) : `${shortId(from)} → ${shortId(to)}`;
  const changes = plan.changes
    .filter(({ action }) => action !== "no-op")
    .flatMap((change) => formatChange(change, style));
  const pickedUp =
    plan.picksUp === null
      ? []
      : [style("yellow", `Picks up the last ${plan.picksUp.kind} (${plan.picksUp.outcome}).`)];
  const warning = plan.interrupts
    ? [style("yellow", "Requests will fail, or the URL will change, while this is carried out.")]
    : [];
  const notes = plan.notes.map((note) => style("yellow", note));
  return [title, `Snapshot ${snapshot}`, ...pickedUp, ...changes, ...warning, ...notes].join("\n");
}

/** Whether a deploy has nothing to do, on the platform or in the record. */
export function changesNothing({ action, snapshot, picksUp }: DeploymentPlan): boolean {
  return action === "no-op" && snapshot.from === snapshot.to && picksUp === null;
}

function titleOf(plan: DeploymentPlan): string {
  const { action, exists } = plan;
  // What has to be created for a deployment that exists is what is gone of it.
  if (action === "create" && exists) return "serves nothing now and will be brought into service";
  if (action === "no-op" && !changesNothing(plan))
    return "needs no change on its platform, and is yet to be seen serving";
  return TITLE[action];
}

function formatChange(change: ResourceChange, style: Style): string[] {
  const [sign, format] = SIGN[change.action];
  const fields = change.fields.map((field) => style(format, `    ${formatField(field)}`));
  return [style(format, `  ${sign} ${change.kind} ${change.name}`), ...fields];
}

function formatField({ field, before, after }: FieldChange): string {
  if (before === undefined && after === undefined) return `~ ${field}`;
  if (before === undefined) return `+ ${field}: ${formatShort(after)}`;
  if (after === undefined) return `- ${field}: ${formatShort(before)}`;
  return `~ ${field}: ${formatShort(before)} → ${formatShort(after)}`;
}

/** Digests are shortened: here they only tell one from the other. */
function formatShort(value: JsonValue | undefined): string {
  const isDigest = typeof value === "string" && /^(sha256:)?[0-9a-f]{64}$/.test(value);
  return isDigest ? shortId(value) : formatValue(value);
}

/** A value on one line; text without quotes where that is clear. */
export function formatValue(value: JsonValue | undefined): string {
  if (typeof value === "string" && value !== "" && value.trim() === value) return value;
  return JSON.stringify(value) ?? "";
}

/** The first twelve digits of a snapshot's digest, which commands take in its place. */
export function shortId(snapshotId: string): string {
  return snapshotId.replace(/^sha256:/, "").slice(0, 12);
}
