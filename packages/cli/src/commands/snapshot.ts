import { agree } from "../agree.ts";
import { defineCommand } from "../command.ts";
import { carryOut, deployInputs, deployOptions } from "../deploying.ts";
import { argument, flag, text } from "../inputs.ts";
import { listResult, pageInputs } from "../page.ts";
import { shortId } from "../plan-text.ts";
import { formatSnapshot } from "../snapshot-text.ts";
import { formatSection } from "../table.ts";
import { formatAgo } from "../time.ts";

const snapshot = argument("<snapshot>", "Name, id, or unique beginning of the id.");

const create = defineCommand({
  name: "create",
  summary: "Make a snapshot of a pipeline",
  inputs: {
    source: argument(
      "<source>",
      "Module of the pipeline: pipeline.ts, or pipeline.ts#name for a named export.",
    ),
    name: text("-n, --name <name>", "Name of the snapshot, unique in the project."),
    description: text("--description <text>", "What is special about it."),
    replace: flag("--replace", "Takes the name from the snapshot that has it."),
  },
  examples: ["snapshot create pipeline.ts --name weather-v2"],
  run: async (context, { source, ...options }) => {
    const client = await context.client();
    const record = await context.during("Making the snapshot", (call) =>
      client.snapshots.create(source, { ...options, ...call }),
    );
    const word = record.name ?? shortId(record.id);
    const before = record.nameBefore === null ? "" : `\nIt was called ${record.nameBefore} before.`;
    const next = [
      `npx millrace snapshot deploy ${word}`,
      `npx millrace run --snapshot ${word}`,
    ].join("\n");
    return {
      json: record,
      text: () =>
        `Snapshot ${context.style("bold", word)} of pipeline ${record.pipelineName}\n${record.id}${before}\n\n${formatSection("Use it", next, context.style)}`,
    };
  },
});

const list = defineCommand({
  name: "list",
  summary: "List snapshots, newest first",
  inputs: {
    pipeline: text("-p, --pipeline <name>", "Only snapshots of this pipeline."),
    ...pageInputs,
  },
  examples: ["snapshot list --pipeline weather"],
  run: async (context, { pipeline, ...paging }) => {
    const client = await context.client();
    const filter = pipeline === undefined ? {} : { pipeline };
    return listResult(context, paging, {
      fetch: (query) => client.snapshots.list({ ...filter, ...query }),
      headers: ["ID", "NAME", "PIPELINE", "CREATED", "DESCRIPTION"],
      row: (found, now) => [
        shortId(found.id),
        found.name ?? "",
        found.pipelineName,
        formatAgo(found.createdAt, now),
        found.description ?? "",
      ],
      none:
        pipeline === undefined
          ? "No snapshots. Make one: npx millrace snapshot create pipeline.ts"
          : `No snapshots of a pipeline "${pipeline}".`,
    });
  },
});

const show = defineCommand({
  name: "show",
  summary: "Show a snapshot: its graph, schemas, settings and files",
  inputs: { snapshot },
  examples: ["snapshot show weather-v2", "snapshot show 3f2a9c81 --output json"],
  run: async (context, values) => {
    const client = await context.client();
    const found = await client.snapshots.get(values.snapshot);
    return {
      json: found,
      text: () => formatSnapshot(found, { style: context.style, now: Date.now() }),
    };
  },
});

const deploy = defineCommand({
  name: "deploy",
  summary: "Deploy a snapshot",
  inputs: {
    snapshot,
    name: text(
      "-n, --name <name>",
      "Name of the deployment. Default: that of the snapshot, else of the pipeline.",
    ),
    stack: text(
      "-s, --stack <name>",
      "Stack to deploy with. Default: that of the deployment, else the active one.",
    ),
    ...deployInputs,
    update: flag("--no-update", "Refuses to touch a deployment that exists."),
    attach: flag("-a, --attach", "Goes on with the service's log lines."),
  },
  examples: ["snapshot deploy weather-v2 --name weather --yes"],
  run: async (context, { snapshot: id, name, stack, update, attach, ...values }) => {
    const client = await context.client();
    const names = {
      ...(name === undefined ? {} : { name }),
      ...(stack === undefined ? {} : { stack }),
    };
    const options = { ...deployOptions(values), ...names, update };
    return carryOut(
      context,
      "Deploying",
      (call) => client.deploy({ snapshot: id }, { ...options, ...call }),
      { attach },
    );
  },
});

const remove = defineCommand({
  name: "delete",
  summary: "Delete a snapshot that nothing refers to",
  inputs: { snapshot },
  examples: ["snapshot delete weather-v1 --yes"],
  run: async (context, values) => {
    const client = await context.client();
    const { snapshot: found } = await client.snapshots.get(values.snapshot);
    await agree(
      context,
      `Delete the snapshot ${found.name ?? shortId(found.id)}?`,
      `${found.name ?? "unnamed"}  ${shortId(found.id)}  of pipeline ${found.pipelineName}`,
    );
    await client.snapshots.delete(found.id);
    return {
      json: { deleted: found.id },
      text: () => `${found.name ?? shortId(found.id)}  deleted`,
    };
  },
});

export const snapshotCommands = [create, list, show, deploy, remove] as const;
