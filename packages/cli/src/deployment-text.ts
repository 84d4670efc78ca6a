import type { DeploymentDetails, OperationEntry } from "@millrace/control";
import {
  type DeploymentRecord,
  type DeploymentStatus,
  type InventoryRecord,
  isJsonObject,
  type JsonObject,
  type JsonSchema,
  type JsonValue,
} from "@millrace/core";

import { formatValue, shortId } from "./plan-text.ts";
import { describeType, exampleParameters, properties, resolve, typesOf } from "./schema.ts";
import { settingFields } from "./settings-text.ts";
import { paintStatus, type Style } from "./style.ts";
import { formatFields, formatSection, formatTable, indent } from "./table.ts";
import { formatAgo, formatDuration } from "./time.ts";

interface View {
  readonly style: Style;
  readonly now: number;
}

/** What one needs to know right after a deploy: state, address, how to call it, how to look after it. */
export function formatCard(details: DeploymentDetails, view: View): string {
  const { deployment } = details;
  return [
    formatTitle(deployment, view.style),
    indent(formatFields([...address(details), ...origin(details)], view.style)),
    ...callSections(details, view.style),
    manageSection(details, MANAGE[deployment.status], view.style),
  ].join("\n\n");
}

/** Everything about a deployment. `fullSchema` prints the JSON Schemas in place of their tables. */
export function formatDetails(
  details: DeploymentDetails,
  view: View & { readonly fullSchema: boolean },
): string {
  const { deployment, lastOperation } = details;
  const { style, now } = view;
  const fields: [string, string][] = [
    ["State", `${paintStatus(deployment.status, style)} (${freshness(deployment, now)})`],
    ...(deployment.statusReason === null
      ? []
      : [["Reason", deployment.statusReason] as [string, string]]),
    ...address(details),
    ...origin(details),
    ...secretsField(details),
    ["Stack", deployment.stack],
    ["Deployer", `${deployment.deployer} (${deployment.flavor})`],
    ["Owner", deployment.userName],
    ["Id", deployment.id],
    ["Created", formatAgo(deployment.createdAt, now)],
    ...(lastOperation === null
      ? []
      : [["Last operation", operationLine(lastOperation, view)] as [string, string]]),
  ];
  return [
    formatTitle(deployment, style),
    indent(formatFields(fields, style)),
    ...callSections(details, style),
    ...schemaSections(details, view),
    ...(details.inventory.length === 0
      ? []
      : [formatSection("Inventory", formatInventory(details.inventory, style), style)]),
    ...overrideSections(details, style),
    ...metadataSection(deployment, view),
    manageSection(
      details,
      // Of what was interrupted nobody knows how far it came.
      MANAGE[lastOperation?.outcome === "interrupted" ? "UNKNOWN" : deployment.status].filter(
        (command) => command !== "describe",
      ),
      style,
    ),
  ].join("\n\n");
}

export function formatInventory(inventory: readonly InventoryRecord[], style: Style): string {
  const rows = inventory.map((resource) => [
    resource.kind,
    resource.name,
    paintStatus(resource.state, style),
    resource.platformId ?? "",
  ]);
  return formatTable(["KIND", "NAME", "STATE", "PLATFORM ID"], rows, style);
}

/** Empty while it goes on, and where nobody can tell. */
export function operationDuration({ startedAt, endedAt, outcome }: OperationEntry): string {
  // That one was abandoned is known by when the next one came, not by when it ended; and a clock may be set back.
  if (endedAt === null || outcome === "abandoned" || endedAt < startedAt) return "";
  return formatDuration(endedAt - startedAt);
}

/** `deploy succeeded 3 min ago, in 1.2 s, by ada` */
export function operationLine(operation: OperationEntry, { style, now }: View): string {
  const duration = operationDuration(operation);
  const length = duration === "" ? "" : `, in ${duration}`;
  const error =
    operation.error === null ? "" : `\n${operation.error.code}: ${operation.error.message}`;
  return `${operation.kind} ${paintStatus(operation.outcome, style)} ${formatAgo(operation.startedAt, now)}${length}, by ${operation.userName}${error}`;
}

function formatTitle(deployment: DeploymentRecord, style: Style): string {
  return `${style("bold", deployment.name)}  ${paintStatus(deployment.status, style)}`;
}

function address({ deployment, hasAuthKey, authKey }: DeploymentDetails): [string, string][] {
  const key =
    authKey?.reveal() ??
    `•••••••• (shown by: npx millrace deployment describe ${deployment.name} --show-secret)`;
  return [
    ["URL", deployment.url ?? "none"],
    ...(deployment.url === null ? [] : [["Docs", `${deployment.url}/docs`] as [string, string]]),
    ...(hasAuthKey ? [["Key", key] as [string, string]] : []),
  ];
}

/** How old what is known of it is; where it may have changed since, also how to look again. */
function freshness(deployment: DeploymentRecord, now: number): string {
  const { name, observedAt } = deployment;
  if (observedAt === null) return "never observed";
  const ago = formatAgo(observedAt, now);
  return isStale(deployment, now)
    ? `as of ${ago}; look again with: npx millrace deployment refresh ${name}`
    : `observed ${ago}`;
}

/** Whether the last look at it is so old that it says little. Where nothing is left, nothing changes. */
export function isStale(
  { status, observedAt }: Pick<DeploymentRecord, "status" | "observedAt">,
  now: number,
): boolean {
  return status !== "ABSENT" && observedAt !== null && now - observedAt > STALE_MS;
}

const STALE_MS = 5 * 60_000;

function origin({ deployment, snapshot }: DeploymentDetails): [string, string][] {
  if (deployment.snapshotId === null) return [["Snapshot", "none yet"]];
  const id = shortId(deployment.snapshotId);
  return [
    ["Snapshot", snapshot?.name == null ? id : `${snapshot.name} (${id})`],
    ["Pipeline", snapshot?.pipelineName ?? "unknown"],
  ];
}

function callSections(details: DeploymentDetails, style: Style): string[] {
  const { deployment, manifest } = details;
  const servesNothing = deployment.status === "ABSENT" || deployment.status === "ERROR";
  if (manifest === null || servesNothing) return [];
  const parameters = exampleParameters(manifest.pipeline.inputSchema);
  const lines = [invokeCommand(deployment.name, parameters)];
  if (deployment.url !== null) {
    const key = details.hasAuthKey ? (details.authKey?.reveal() ?? "<key>") : undefined;
    lines.push(curlCommand(deployment.url, parameters, key));
  }
  return [formatSection("Call it", lines.join("\n"), style)];
}

/** The command line that invokes a deployment with these parameters. */
export function invokeCommand(deployment: string, parameters: JsonObject): string {
  const words = Object.entries(parameters).map(
    ([name, value]) => `--${name} ${shellQuote(formatValue(value))}`,
  );
  return ["npx millrace invoke", shellQuote(deployment), ...words].join(" ");
}

/** The same as an HTTP request. */
export function curlCommand(url: string, parameters: JsonObject, key: string | undefined): string {
  const authorization =
    key === undefined ? [] : [`-H ${shellQuote(`Authorization: Bearer ${key}`)}`];
  return [
    "curl",
    shellQuote(`${url}/invoke`),
    "-H 'Content-Type: application/json'",
    ...authorization,
    `-d ${shellQuote(JSON.stringify({ parameters }))}`,
  ].join(" ");
}

function shellQuote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

function schemaSections(
  { manifest }: DeploymentDetails,
  view: View & { readonly fullSchema: boolean },
): string[] {
  if (manifest === null) return [];
  const { inputSchema, outputSchema } = manifest.pipeline;
  const body = (schema: JsonSchema) =>
    view.fullSchema ? JSON.stringify(schema, null, 2) : formatSchema(schema, view.style);
  return [
    formatSection("Input", body(inputSchema), view.style),
    formatSection("Output", body(outputSchema), view.style),
  ];
}

/** The members of an object schema, and those of what is in its lists, as a table. */
export function formatSchema(schema: JsonSchema, style: Style): string {
  const rows = schemaRows(schema, schema, "", 0);
  if (rows.length === 0) return "nothing";
  const used = [0, 1, 2, 3].filter(
    (column) => column < 2 || rows.some((row) => row[column] !== ""),
  );
  const headers = ["NAME", "TYPE", "DEFAULT", "DESCRIPTION"];
  return formatTable(
    used.map((column) => headers[column] ?? ""),
    rows.map((row) => used.map((column) => row[column] ?? "")),
    style,
  );
}

function schemaRows(
  schema: JsonSchema,
  document: JsonSchema,
  prefix: string,
  depth: number,
): string[][] {
  return properties(schema, document).flatMap((property) => {
    const name = `${prefix}${property.name}`;
    const fallback = Object.hasOwn(property.schema, "default")
      ? JSON.stringify(property.schema["default"])
      : property.required
        ? ""
        : "optional";
    const { description } = property.schema;
    const row = [
      name,
      describeType(property.schema, document),
      fallback,
      typeof description === "string" ? description : "",
    ];
    const isList = typesOf(property.schema).includes("array");
    const inner = isList ? resolve(property.schema["items"], document) : property.schema;
    const path = `${name}${isList ? "[]" : ""}.`;
    return [row, ...(depth < 3 ? schemaRows(inner, document, path, depth + 1) : [])];
  });
}

function secretsField({ manifest }: DeploymentDetails): [string, string][] {
  const secrets = manifest?.pipeline.secrets ?? [];
  return secrets.length === 0 ? [] : [["Secrets", secrets.join(", ")]];
}

/** What the deploy was given; `snapshot show` and `deployer describe` have the rest. */
function overrideSections({ overrides }: DeploymentDetails, style: Style): string[] {
  const settings = [
    ...settingFields("deployer", overrides.settings),
    ...settingFields("serving", overrides.serving),
  ];
  const environment = Object.entries(overrides.environment).map(
    ([name, value]) => [name, formatValue(value)] as const,
  );
  return [
    ...fieldSection("Settings", settings, style),
    ...fieldSection("Environment", environment, style),
  ];
}

function metadataSection(
  { metadata, observedAt }: DeploymentRecord,
  { style, now }: View,
): string[] {
  const fields = Object.entries(metadata).map(
    ([name, value]) => [name, formatMember(value)] as const,
  );
  const age = observedAt === null ? "" : ` (as of ${formatAgo(observedAt, now)})`;
  return fieldSection(`Platform${age}`, fields, style);
}

function fieldSection(
  title: string,
  fields: readonly (readonly [string, string])[],
  style: Style,
): string[] {
  return fields.length === 0 ? [] : [formatSection(title, formatFields(fields, style), style)];
}

/** A list has a line for each item, and the members of an item stand side by side. */
function formatMember(value: JsonValue): string {
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.map(formatMember).join("\n");
  if (!isJsonObject(value)) return formatValue(value);
  return Object.entries(value)
    .map(([name, member]) => `${name} ${formatValue(member)}`)
    .join(", ");
}

/** What one may want to do with a deployment of each status, most likely first. */
const MANAGE: Readonly<Record<DeploymentStatus, readonly (keyof typeof WHAT)[]>> = {
  RUNNING: ["describe", "logs", "history", "rollback", "deprovision", "delete"],
  PENDING: ["wait", "describe", "logs", "history"],
  ABSENT: ["provision", "history", "delete"],
  ERROR: ["provision", "logs", "history", "delete"],
  UNKNOWN: ["refresh", "logs", "history"],
};

const WHAT = {
  describe: "state, schemas, inventory, settings",
  wait: "until it is RUNNING",
  refresh: "asks the platform again",
  provision: "brings it back into service",
  logs: "what the service writes",
  history: "every operation with its outcome",
  rollback: "to the snapshot that served before",
  deprovision: "takes it out of service and keeps the record",
  delete: "takes it out of service for good",
} as const;

function manageSection(
  { deployment: { name, snapshotId }, previousSnapshotId }: DeploymentDetails,
  offered: readonly (keyof typeof WHAT)[],
  style: Style,
): string {
  const commands = offered
    // What never served is deployed from its source again.
    .filter((command) => command !== "provision" || snapshotId !== null)
    .filter((command) => command !== "rollback" || previousSnapshotId !== null)
    .map((command) => [`npx millrace deployment ${command} ${name}`, WHAT[command]] as const);
  const width = Math.max(...commands.map(([command]) => command.length));
  const lines = commands.map(
    ([command, what]) => `${command.padEnd(width)}  ${style("dim", what)}`,
  );
  return formatSection("Look after it", lines.join("\n"), style);
}
