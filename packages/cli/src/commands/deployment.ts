import type { Client, Orphan } from "@millrace/control";
import { DEPLOYMENT_STATUSES, type DeploymentRecord, ERROR_CLASSES } from "@millrace/core";
import { bulk, bulkInputs, type Selection } from "../bulk.ts";
import { type CommandContext, defineCommand } from "../command.ts";
import { carryOut, deployInputs, deployOptions, timeLimit } from "../deploying.ts";
import { formatDetails, formatInventory, isStale, operationDuration } from "../deployment-text.ts";
import { argument, choice, flag, moment, number, text } from "../inputs.ts";
import { streamLogs } from "../log-text.ts";
import { formatOrphans, orphansOf } from "../orphan-text.ts";
import { allItems, listResult, pageInputs } from "../page.ts";
import { shortId } from "../plan-text.ts";
import { paintStatus } from "../style.ts";
import { formatSection, indent } from "../table.ts";
import { formatAgo } from "../time.ts";
import { invoke } from "./invoke.ts";

const deployment = argument("<deployment>", "Name, id or unique beginning of the id.");
const timeoutSeconds = timeLimit("10m");
const overtake = flag("--overtake", "Does it although the deployment belongs to another user.");

const list = defineCommand({
  name: "list",
  summary: "List deployments, newest first",
  inputs: {
    status: choice("--status <status>", DEPLOYMENT_STATUSES, "Only deployments with this status."),
    pipeline: text("-p, --pipeline <name>", "Only deployments of this pipeline."),
    deployer: text("-d, --deployer <name>", "Only deployments made by this deployer."),
    mine: flag("--mine", "Only one's own."),
    ...pageInputs,
  },
  examples: [
    "deployment list",
    "deployment list --status ERROR --mine",
    "deployment list --all-pages --output json",
  ],
  run: async (context, { limit, cursor, allPages, ...filter }) => {
    const client = await context.client();
    const paging = {
      allPages,
      ...(limit === undefined ? {} : { limit }),
      ...(cursor === undefined ? {} : { cursor }),
    };
    const { mine, ...named } = filter;
    const isFiltered = mine || Object.keys(named).length > 0;
    return listResult(context, paging, {
      fetch: (query) => client.deployments.list({ ...filter, ...query }),
      headers: ["NAME", "STATUS", "PIPELINE", "SNAPSHOT", "STACK", "OWNER", "OBSERVED", "URL"],
      row: (found, now) => [
        found.name,
        paintStatus(found.status, context.style),
        found.pipelineName ?? "",
        found.snapshotName ?? (found.snapshotId === null ? "" : shortId(found.snapshotId)),
        found.stack,
        found.userName,
        found.observedAt === null ? "never" : formatAgo(found.observedAt, now),
        found.url ?? "",
      ],
      note: (items, now) =>
        items.some((found) => isStale(found, now))
          ? "A status is as old as OBSERVED says. Ask the platform again: npx millrace deployment refresh --all"
          : null,
      none: isFiltered
        ? "No deployment is like that."
        : "No deployments. Make one: npx millrace deploy pipeline.ts",
    });
  },
});

const describe = defineCommand({
  name: "describe",
  summary: "Show a deployment: state, address, how to call it, schemas, inventory, settings",
  inputs: {
    deployment,
    showSecret: flag("--show-secret", "Prints the key that callers must carry."),
    schema: flag("--schema", "Prints the full JSON Schemas."),
  },
  examples: [
    "deployment describe weather",
    "deployment describe weather --show-secret --output json",
  ],
  run: async (context, { deployment: name, showSecret, schema }) => {
    const client = await context.client();
    const details = await client.deployments.get(name, { showSecret });
    return {
      json: { ...details, authKey: details.authKey?.reveal() ?? null },
      text: () =>
        formatDetails(details, { style: context.style, now: Date.now(), fullSchema: schema }),
    };
  },
});

const logs = defineCommand({
  name: "logs",
  summary: "Print the log lines of a deployment",
  description: "With --output json each line is one JSON object.",
  inputs: {
    deployment,
    follow: flag("-f, --follow", "Goes on with new lines until Ctrl-C."),
    tail: number("-t, --tail <count>", "Only the last so many lines.", { integer: true, min: 0 }),
    since: moment(
      "--since <time>",
      "Only lines from this time on: 10m, 2h, 1d, or a date and time.",
    ),
  },
  examples: ["deployment logs weather --tail 100", "deployment logs weather --follow --since 10m"],
  run: async (context, { deployment: name, ...query }) => {
    const client = await context.client();
    const lines = await streamLogs(context, (signal) =>
      client.deployments.logs(name, { ...query, signal }),
    );
    if (lines === 0) await sayWhyNone(context, name);
    return undefined;
  },
});

async function sayWhyNone(context: CommandContext, name: string): Promise<void> {
  const client = await context.client();
  const { deployment: found } = await client.deployments.get(name);
  context.tell(
    found.status === "ABSENT"
      ? `Deployment "${found.name}" is ABSENT, and its log went with it. ${bringBack(found)}`
      : "There are no such lines.",
  );
}

/** What to do about a deployment that serves nothing. */
function bringBack({ name, snapshotId }: DeploymentRecord): string {
  return snapshotId === null
    ? "It has served nothing yet: deploy it."
    : `Bring it back: npx millrace deployment provision ${name}`;
}

const refresh = defineCommand({
  name: "refresh",
  summary: "Ask the platform about deployments and bring their records in line",
  inputs: { ...bulkInputs, timeoutSeconds: timeLimit("1m") },
  examples: ["deployment refresh weather", "deployment refresh --all"],
  run: async (context, { timeoutSeconds, ...selection }) => {
    const limit = timeoutSeconds === undefined ? {} : { timeoutSeconds };
    const refreshed = await bulk(context, selection, {
      question: null,
      doing: "Refreshing",
      work: (client, id, call) => client.deployments.refresh(id, { ...call, ...limit }),
      done: (name, record) =>
        [
          `${name}  ${paintStatus(record.status, context.style)}`,
          ...(record.statusReason === null ? [] : [record.statusReason]),
          ...(record.status === "ERROR" ? [bringBack(record)] : []),
        ].join("  "),
    });
    if (context.signal.aborted) return { ...refreshed, exitCode: ERROR_CLASSES.aborted.exitCode };
    const client = await context.client();
    const orphans = await orphansOf(
      context,
      client,
      await deployersToAsk(client, selection),
      limit,
    );
    return {
      ...refreshed,
      json: { ...refreshed.json, orphans },
      text: () => [refreshed.text(), ...formatFound(orphans, context)].join("\n\n"),
    };
  },
});

/**
 * All deployers, or those of the deployments that were named; without those whose platform could not be asked about a deployment
 * a moment ago, and would let us wait as long again.
 */
async function deployersToAsk(
  client: Client,
  { all, mine, deployments }: Selection,
): Promise<readonly string[]> {
  const known = (await client.deployers.list()).map(({ name }) => name);
  const records = all
    ? await allItems((query) => client.deployments.list({ ...query, mine, status: "UNKNOWN" }))
    : await Promise.all(
        deployments.map(async (name) =>
          client.deployments.get(name).then(
            ({ deployment }) => deployment,
            () => null,
          ),
        ),
      );
  const found = records.filter((record) => record !== null);
  const silent = found.filter(({ status }) => status === "UNKNOWN");
  const has = (some: readonly DeploymentRecord[], name: string) =>
    some.some(({ deployer }) => deployer === name);
  return known.filter((name) => (all || has(found, name)) && !has(silent, name));
}

function formatFound(orphans: readonly Orphan[], { style }: CommandContext): readonly string[] {
  const [first] = orphans;
  if (first === undefined) return [];
  const about = `They have no record in this store; another store may have it. To remove one: npx millrace deployer orphans ${first.deployer} <id> --delete`;
  return [formatSection("Orphans", `${formatOrphans(orphans, style)}\n\n${about}`, style)];
}

const provision = defineCommand({
  name: "provision",
  summary: "Bring a deployment's snapshot, or another one, back into service",
  inputs: {
    deployment,
    snapshot: text("--snapshot <name>", "Snapshot to serve. Default: the recorded one."),
    ...deployInputs,
  },
  examples: [
    "deployment provision weather",
    "deployment provision weather --snapshot weather-v2 --yes",
  ],
  run: async (context, { deployment: name, snapshot, ...values }) => {
    const client = await context.client();
    const options = { ...deployOptions(values), ...(snapshot === undefined ? {} : { snapshot }) };
    return carryOut(
      context,
      `Provisioning ${name}`,
      (call) => client.deployments.provision(name, { ...options, ...call }),
      { attach: false },
    );
  },
});

const rollback = defineCommand({
  name: "rollback",
  summary: "Deploy the snapshot that served before",
  inputs: {
    deployment,
    to: text("--to <snapshot>", "Snapshot to go back to. Default: the one that served before."),
    timeoutSeconds,
    overtake,
  },
  examples: ["deployment rollback weather", "deployment rollback weather --to 3f2a9c81 --yes"],
  run: async (context, { deployment: name, ...options }) => {
    const client = await context.client();
    return carryOut(
      context,
      `Rolling ${name} back`,
      (call) => client.deployments.rollback(name, { ...options, ...call }),
      { attach: false },
    );
  },
});

const deprovision = defineCommand({
  name: "deprovision",
  summary: "Remove every resource of deployments and keep their records",
  inputs: { ...bulkInputs, timeoutSeconds, overtake },
  examples: ["deployment deprovision weather", "deployment deprovision --all --mine --yes"],
  run: (context, { timeoutSeconds: limit, overtake: force, ...selection }) =>
    bulk(context, selection, {
      question: "Deprovision",
      doing: "Deprovisioning",
      work: (client, id, call) =>
        client.deployments.deprovision(id, {
          ...call,
          overtake: force,
          ...(limit === undefined ? {} : { timeoutSeconds: limit }),
        }),
      done: (name, record) => `${name}  ${paintStatus(record.status, context.style)}`,
    }),
});

const remove = defineCommand({
  name: "delete",
  summary: "Deprovision deployments and remove their records",
  inputs: {
    ...bulkInputs,
    force: flag(
      "--force",
      "Removes the record whatever the platform says (and after a minute when it says nothing), and prints what is left behind.",
    ),
    timeoutSeconds: timeLimit("10m, with --force 1m"),
    overtake,
  },
  examples: ["deployment delete weather", "deployment delete weather --force --yes"],
  run: (context, { timeoutSeconds: limit, overtake: others, force, ...selection }) =>
    bulk(context, selection, {
      question: "Delete",
      doing: "Deleting",
      work: (client, id, call) =>
        client.deployments.delete(id, {
          ...call,
          force,
          overtake: others,
          ...(limit === undefined ? {} : { timeoutSeconds: limit }),
        }),
      done: (name, { leftBehind }) =>
        leftBehind.length === 0
          ? `${name}  deleted`
          : `${name}  deleted; left behind:\n${indent(formatInventory(leftBehind, context.style))}`,
    }),
});

/** What is said of operations whose process is gone. */
const LOST: Readonly<Record<string, string>> = {
  interrupted: "its process is gone; the next command picks it up",
  abandoned: "its process was gone; the operation after it took over",
};

const history = defineCommand({
  name: "history",
  summary: "List the operations on a deployment, newest first",
  inputs: { deployment, ...pageInputs },
  examples: ["deployment history weather"],
  run: async (context, { deployment: name, ...paging }) => {
    const client = await context.client();
    return listResult(context, paging, {
      fetch: (query) => client.deployments.history(name, query),
      headers: ["STARTED", "OPERATION", "OUTCOME", "SNAPSHOT", "BEFORE", "BY", "DURATION", "ERROR"],
      row: (operation, now) => [
        formatAgo(operation.startedAt, now),
        operation.kind,
        paintStatus(operation.outcome, context.style),
        operation.snapshotId === null ? "" : shortId(operation.snapshotId),
        operation.previousSnapshotId === null ? "" : shortId(operation.previousSnapshotId),
        operation.userName,
        operationDuration(operation),
        LOST[operation.outcome] ?? operation.error?.code ?? "",
      ],
      none: "No operations.",
    });
  },
});

const wait = defineCommand({
  name: "wait",
  summary: "Wait until a deployment has a status",
  inputs: {
    deployment,
    status: choice(
      "--status <status>",
      DEPLOYMENT_STATUSES,
      "Status to wait for. Default RUNNING.",
    ),
    timeoutSeconds,
  },
  examples: ["deployment wait weather", "deployment wait weather --status ABSENT --timeout 2m"],
  run: async (context, { deployment: name, ...options }) => {
    const client = await context.client();
    const record = await context.during(`Waiting for ${name}`, (call) =>
      client.deployments.wait(name, { ...options, ...call }),
    );
    return {
      json: record,
      text: () => `${record.name}  ${paintStatus(record.status, context.style)}`,
    };
  },
});

export const deploymentCommands = [
  list,
  describe,
  invoke,
  logs,
  refresh,
  provision,
  deprovision,
  remove,
  history,
  rollback,
  wait,
] as const;
