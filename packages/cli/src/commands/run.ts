import { existsSync } from "node:fs";
import { extname, resolve } from "node:path";
import type { Client, RunImport } from "@millrace/control";
import {
  ERROR_CLASSES,
  isMillraceError,
  RUN_STATUSES,
  type RunRecord,
  suggest,
} from "@millrace/core";
import { agree } from "../agree.ts";
import { defineCommand } from "../command.ts";
import {
  argument,
  argumentList,
  choice,
  flag,
  moment,
  optionalArgument,
  rest,
  seconds,
  text,
  usage,
} from "../inputs.ts";
import { formatLogLine } from "../log-text.ts";
import { listResult, pageInputs } from "../page.ts";
import { parameterInputs, parametersFor } from "../parameter-inputs.ts";
import { formatRun } from "../run-text.ts";
import { paintStatus } from "../style.ts";
import { formatTable } from "../table.ts";
import { formatAgo, formatDuration } from "../time.ts";
import { sourceOf } from "./deploy.ts";

export const run = defineCommand({
  name: "run",
  summary: "Run a pipeline once as a batch run; list, show, import, delete recorded runs",
  description:
    "A source is a path or a file that exists: `run list` lists runs, `run ./list` runs the module list. " +
    "Parameters are given as with `npx millrace invoke`.",
  inputs: {
    source: optionalArgument(
      "[source]",
      "Module of the pipeline: pipeline.ts, or pipeline.ts#name for a named export.",
    ),
    parameters: rest("Parameters of the pipeline: --name value."),
    ...parameterInputs,
    snapshot: text("--snapshot <name>", "Takes this snapshot in place of a source."),
    runName: text("--run-name <name>", "Name of the run that is recorded."),
    timeoutSeconds: seconds("--timeout <time>", "Deadline of the run: seconds, or 90s, 10m."),
  },
  examples: [
    "run pipeline.ts --city Lisbon",
    "run --snapshot weather-v2 --city Lisbon",
    "run list --status failed",
    "run show 0190a6e2",
  ],
  run: async (
    context,
    { source, snapshot, parameters: words, runName, timeoutSeconds, ...sources },
  ) => {
    const from = sourceOf({
      ...(source === undefined ? {} : { source }),
      ...(snapshot === undefined ? {} : { snapshot }),
    });
    if (typeof from === "string") checkSource(from, context.terminal.directory);
    const client = await context.client();
    const record = await context.during("Making the snapshot", async (call) => {
      const made = snapshot ?? (await client.snapshots.create(source ?? "", call)).id;
      const { snapshot: found, manifest } = await client.snapshots.get(made);
      const parameters = await parametersFor(
        context,
        { words, ...sources },
        manifest.pipeline.inputSchema,
      );
      call.onProgress({
        at: Date.now(),
        deployment: null,
        message: `Running ${manifest.pipeline.name}`,
      });
      return client.run({ snapshot: found.id }, parameters, {
        ...call,
        ...(runName === undefined ? {} : { runName }),
        ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
        onNotRecorded: () =>
          context.tell(
            context.sideStyle(
              "yellow",
              "The run is not recorded: neither the store nor the state folder takes it. The log lines say why.",
            ),
          ),
        onLog: (line) => context.tell(formatLogLine(line, context.sideStyle)),
      });
    });
    return {
      json: record,
      text: () => formatRun(record, { style: context.style, now: Date.now(), deployment: null }),
      exitCode: exitCodeOf(record),
    };
  },
});

const list = defineCommand({
  name: "list",
  summary: "List recorded runs, newest first",
  inputs: {
    deployment: text("-d, --deployment <name>", "Only runs of this deployment."),
    pipeline: text("-p, --pipeline <name>", "Only runs of this pipeline."),
    status: choice("--status <status>", RUN_STATUSES, "Only runs with this status."),
    since: moment(
      "--since <time>",
      "Only runs that began after this: 10m, 2h, 1d, or a date and time.",
    ),
    ...pageInputs,
  },
  examples: [
    "run list",
    "run list --deployment weather --status failed --since 1h",
    "run list --all-pages --output json",
  ],
  run: async (context, { limit, cursor, allPages, since, ...filter }) => {
    const client = await context.client();
    const from = since === undefined ? {} : { since: since.getTime() };
    const paging = {
      allPages,
      ...(limit === undefined ? {} : { limit }),
      ...(cursor === undefined ? {} : { cursor }),
    };
    return listResult(context, paging, {
      fetch: (query) => client.runs.list({ ...filter, ...from, ...query }),
      headers: ["ID", "NAME", "PIPELINE", "DEPLOYMENT", "STATUS", "STARTED", "DURATION", "ERROR"],
      row: (record, now) => [
        record.id,
        record.name,
        record.pipelineName,
        // Of a deployment that was deleted only its id is left.
        record.deploymentName ?? record.deploymentId ?? "",
        paintStatus(record.status, context.style),
        formatAgo(record.startedAt, now),
        record.durationMs === null ? "" : formatDuration(record.durationMs),
        record.error?.code ?? "",
      ],
      none: "No runs.",
    });
  },
});

const show = defineCommand({
  name: "show",
  summary: "Show a recorded run with its inputs, outputs and steps",
  inputs: { run: argument("<run>", "Id, unique beginning of it, or name of the run.") },
  examples: ["run show 0190a6e2-7b3c", "run show weather-42 --output json"],
  run: async (context, values) => {
    const client = await context.client();
    const record = await client.runs.get(values.run);
    const deployment = context.json ? null : await nameOf(client, record.deploymentId);
    return {
      json: record,
      text: () => formatRun(record, { style: context.style, now: Date.now(), deployment }),
    };
  },
});

/** Of a deployment that was deleted only its id is left. */
async function nameOf(client: Client, deploymentId: string | null): Promise<string | null> {
  if (deploymentId === null) return null;
  try {
    return (await client.deployments.get(deploymentId)).deployment.name;
  } catch (error) {
    if (isMillraceError(error) && error.class === "not_found") return deploymentId;
    throw error;
  }
}

const importing = defineCommand({
  name: "import",
  summary: "Read runs back from a service's log or a spool into the store",
  description:
    "A service that has no store within reach records its runs as lines of its log. This reads those lines, whatever " +
    "the platform put before them, or the lines of a spool; all others are skipped. Runs that are recorded already are " +
    "left as they are, so the same file may be read twice.",
  inputs: {
    file: argument("<file>", "The log or spool; - reads standard input."),
    adopt: flag(
      "--adopt",
      "Takes runs of other projects into this one, as after a move to another store.",
    ),
  },
  examples: [
    "run import service.log",
    "deployment logs weather --output json | npx millrace run import -",
  ],
  run: async (context, { file, adopt }) => {
    const client = await context.client();
    const { stdin, directory } = context.terminal;
    const source = file === "-" ? stdin.bytes : resolve(directory, file);
    const done = await context.during("Reading runs", ({ signal }) =>
      client.runs.import(source, { adopt, signal }),
    );
    return {
      json: done,
      text: () => formatImport(done),
      exitCode: done.badLines === 0 ? 0 : ERROR_CLASSES.usage.exitCode,
    };
  },
});

function formatImport({ runs, recorded, skipped, badLines, bad }: RunImport): string {
  const known = runs - recorded;
  const lines = [
    `${count(recorded, "run")} recorded, ${count(known, "run")} recorded before, ${count(skipped, "other line")} skipped.`,
    ...bad.map(({ line, reason }) => `Line ${line} was not taken: ${reason}`),
  ];
  if (badLines > bad.length) lines.push(`… and ${count(badLines - bad.length, "more line")}.`);
  return lines.join("\n");
}

const remove = defineCommand({
  name: "delete",
  summary: "Delete recorded runs, all that are named or none",
  inputs: { runs: argumentList("<run...>", "Ids, unique beginnings of them, or names of runs.") },
  examples: ["run delete 0190a6e2-7b3c", "run delete weather-42 weather-43 --yes"],
  run: async (context, { runs: names }) => {
    const client = await context.client();
    const runs = new Map<string, RunRecord>();
    for (const name of names) {
      const found = await client.runs.get(name);
      runs.set(found.id, found);
    }
    const now = Date.now();
    const rows = [...runs.values()].map((found) => [
      found.id,
      found.name,
      found.pipelineName,
      paintStatus(found.status, context.sideStyle),
      formatAgo(found.startedAt, now),
    ]);
    await agree(
      context,
      `Delete ${runs.size === 1 ? "this run" : `these ${runs.size} runs`}?`,
      formatTable(["ID", "NAME", "PIPELINE", "STATUS", "STARTED"], rows, context.sideStyle),
    );
    const deleted = [...runs.keys()];
    await client.runs.delete(deleted);
    return { json: { deleted }, text: () => `${count(deleted.length, "run")} deleted.` };
  },
});

const prune = defineCommand({
  name: "prune",
  summary: "Delete recorded runs that are older than a time",
  description:
    "Services delete their own old runs by the setting tracking.retentionDays; this deletes more. Runs that are recorded " +
    "as running stay.",
  inputs: {
    olderThan: moment(
      "--older-than <time>",
      "Only runs that began before this: 12h, 30d, or a date and time; 0s for all.",
    ),
    deployment: text("-d, --deployment <name>", "Only runs of this deployment."),
    snapshot: text("--snapshot <name>", "Only runs of this snapshot."),
  },
  examples: [
    "run prune --older-than 30d",
    "run prune --older-than 0s --snapshot weather-v1 --yes",
    "run prune --older-than 2026-03-01 --deployment weather --output json",
  ],
  run: async (context, { olderThan, ...of }) => {
    if (olderThan === undefined)
      throw usage(
        "OPTION_MISSING",
        "The option --older-than is required.",
        "Say how old: --older-than 30d; 0s means all.",
      );
    const client = await context.client();
    const whose = Object.entries(of).map(([what, name]) => ` of ${what} ${name}`);
    const about = `Runs${whose.join("")} that began before ${olderThan.toISOString()}`;
    const done = await context.during("Counting old runs", (call) =>
      client.runs.prune({
        ...of,
        ...call,
        before: olderThan.getTime(),
        confirm: (runs) => context.confirm(`Delete ${count(runs, "run")}?`, about),
      }),
    );
    const { deleted, running } = done;
    const left = running === 0 ? "" : ` ${count(running, "run")} recorded as running left.`;
    return { json: done, text: () => `${count(deleted, "run")} deleted.${left}` };
  },
});

export const runCommands = [list, show, importing, remove, prune] as const;

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

/** A word that cannot be a module is most likely a mistyped subcommand. */
function checkSource(source: string, directory: string): void {
  const file = source.replace(/#[^#/\\]*$/, "");
  if (/[/\\]/.test(file) || extname(file) !== "" || existsSync(resolve(directory, file))) return;
  const meant = suggest(
    source,
    runCommands.map(({ name }) => name),
  );
  throw usage(
    "SOURCE_UNKNOWN",
    `${JSON.stringify(source)} is neither a subcommand of run nor a file.`,
    `${meant === undefined ? "" : `Did you mean "run ${meant}"? `}Name the pipeline's module, such as pipeline.ts.`,
  );
}

function exitCodeOf(record: RunRecord): number {
  if (record.status === "completed") return 0;
  return ERROR_CLASSES[record.error?.class ?? "pipeline"].exitCode;
}
