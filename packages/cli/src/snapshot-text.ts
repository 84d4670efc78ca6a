import type { SnapshotManifest, SnapshotRecord } from "@millrace/core";
import { formatSchema } from "./deployment-text.ts";
import { shortId } from "./plan-text.ts";
import { settingFields } from "./settings-text.ts";
import type { Style } from "./style.ts";
import { formatFields, formatSection, formatTable, indent } from "./table.ts";
import { formatAgo } from "./time.ts";

interface Snapshot {
  readonly snapshot: SnapshotRecord;
  readonly manifest: SnapshotManifest;
}

export function formatSnapshot(
  { snapshot, manifest }: Snapshot,
  { style, now }: { readonly style: Style; readonly now: number },
): string {
  const { pipeline } = manifest;
  const bytes = Object.values(manifest.files).reduce((sum, file) => sum + file.size, 0);
  const fields: [string, string][] = [
    ["Id", snapshot.id],
    ["Pipeline", pipeline.name],
    ...(snapshot.description === null
      ? []
      : [["Description", snapshot.description] as [string, string]]),
    ["Created", formatAgo(snapshot.createdAt, now)],
    ["Files", `${Object.keys(manifest.files).length} (${Math.ceil(bytes / 1024)} KiB)`],
    ["Node", `>= ${manifest.node}`],
    ...(pipeline.secrets.length === 0
      ? []
      : [["Secrets", pipeline.secrets.join(", ")] as [string, string]]),
    ...Object.entries(manifest.externals).map(
      ([name, version]) => ["Package", `${name} ${version}`] as [string, string],
    ),
  ];
  return [
    style("bold", snapshot.name ?? shortId(snapshot.id)),
    indent(formatFields(fields, style)),
    formatSection("Steps", formatGraph(manifest, style), style),
    formatSection("Input", formatSchema(pipeline.inputSchema, style), style),
    formatSection("Output", formatSchema(pipeline.outputSchema, style), style),
    ...settingsSection(manifest, style),
  ].join("\n\n");
}

function formatGraph({ pipeline }: SnapshotManifest, style: Style): string {
  const rows = pipeline.graph.steps.map((step) => [
    step.id,
    step.after.join(", "),
    step.retries.limit === 0 ? "" : String(step.retries.limit),
    step.timeoutSeconds === null ? "" : `${step.timeoutSeconds} s`,
    step.cache === null ? "" : `${step.cache.ttlSeconds} s`,
  ]);
  return formatTable(["STEP", "AFTER", "RETRIES", "TIMEOUT", "CACHE"], rows, style);
}

function settingsSection({ settings }: SnapshotManifest, style: Style): string[] {
  const fields = [
    ...settingFields("serving", settings.serving),
    ...Object.entries(settings.deployer).flatMap(([flavor, values]) =>
      settingFields(flavor, values),
    ),
  ];
  return fields.length === 0 ? [] : [formatSection("Settings", formatFields(fields, style), style)];
}
