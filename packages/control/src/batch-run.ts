import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import {
  type ErrorSummary,
  errorFromSummary,
  type JsonObject,
  MillraceError,
  type RunRecord,
  STORE_URL_SECRET,
  sentence,
} from "@millrace/core";
import { atExit } from "./at-exit.ts";
import type { RunOptions } from "./client.ts";
import { secretFolder } from "./secrets/secret-folder.ts";
import { secretValues } from "./secrets/values.ts";
import { serviceSecrets, serviceVariables } from "./service-environment.ts";
import { servingSettings } from "./settings/layers.ts";
import type { ReadySnapshot } from "./snapshots.ts";
import type { Workspace } from "./workspace.ts";

/** How long a run that was cancelled may take to clean up, for which `onCleanup` has 10 seconds, and to be recorded. */
const CANCEL_SECONDS = 15;

/** What the runtime prints for a batch run; see the README of @millrace/serving. */
interface BatchResult {
  readonly run: RunRecord | null;
  readonly error: ErrorSummary | null;
  readonly recorded?: false;
}

/**
 * Runs a snapshot's pipeline once in a process of its own. An abort cancels the run there.
 * @throws MillraceError: what the run failed with.
 */
export async function runBatch(
  workspace: Workspace,
  ready: ReadySnapshot,
  parameters: JsonObject,
  options: RunOptions,
): Promise<RunRecord> {
  const { snapshot, manifest } = ready;
  const { loaded, environment, secrets, artifacts } = workspace;
  options.signal?.throwIfAborted();
  const values = await secretValues(manifest.pipeline.secrets, {
    environment,
    envFile: loaded.envFile,
    store: secrets,
  });
  const serving = servingSettings([
    {
      origin: "pipeline",
      place: `pipeline "${manifest.pipeline.name}"`,
      values: manifest.settings.serving,
    },
  ]);
  const folder = await secretFolder({ ...values, ...serviceSecrets(workspace, true) });
  const variables = serviceVariables(workspace, {
    // The same for all runs of a pipeline, which thus share their step cache and their spool.
    deployment: { id: `batch-${manifest.pipeline.name}`, name: manifest.pipeline.name },
    snapshot: { id: snapshot.id, name: snapshot.name },
    revision: "batch",
    serving: serving.value,
    authKeyHash: null,
    isHere: true,
  });
  try {
    const args = [workspace.runtime, "run", artifacts.folderToRun(snapshot.id, manifest)];
    if (options.runName !== undefined) args.push(`--name=${options.runName}`);
    if (options.timeoutSeconds !== undefined)
      args.push("--timeout", String(options.timeoutSeconds));
    const result = await execute(
      args,
      // The store's URL is among the secrets, and nowhere else.
      { ...environment, ...variables, ...folder.variables, [STORE_URL_SECRET]: undefined },
      parameters,
      options,
      () => void folder.release(),
    );
    if (result.recorded === false) options.onNotRecorded?.();
    if (result.error !== null) throw failure(result.error, result.run);
    if (result.run === null) throw new TypeError("the runtime gave neither a run nor an error");
    return result.run;
  } finally {
    await folder.release();
  }
}

/** Says where the run is to be seen, if one began. */
function failure(summary: ErrorSummary, run: RunRecord | null): MillraceError {
  if (run === null) return errorFromSummary(summary);
  const see = `See run ${run.name}: npx millrace run show ${run.id}`;
  const { action, details } = summary;
  return errorFromSummary({
    ...summary,
    action: action === undefined ? see : `${sentence(action)} ${see}`,
    details: { ...details, runId: run.id },
  });
}

async function execute(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  parameters: JsonObject,
  { signal, onLog }: RunOptions,
  onRead: () => void,
): Promise<BatchResult> {
  signal?.throwIfAborted();
  const child = spawn(process.execPath, args, { env, stdio: ["pipe", "pipe", "pipe", "ipc"] });
  const { stdin, stdout, stderr } = child;
  if (stdin === null || stdout === null || stderr === null)
    throw new TypeError("the runtime has no pipes");
  // All that a batch run tells by its channel is that it has read its secrets.
  child.once("message", onRead);
  const kill = (): boolean => child.kill("SIGKILL");
  const forget = atExit(kill);
  let wasKilled = false;
  let timer: NodeJS.Timeout | undefined;
  const cancel = (): void => {
    child.kill("SIGTERM");
    timer = setTimeout(() => {
      wasKilled = kill();
    }, CANCEL_SECONDS * 1000);
  };
  signal?.addEventListener("abort", cancel);
  const lastLines: string[] = [];
  // The result is the last line; what comes before it the pipeline's own code has printed.
  let lastOutput = "";
  createInterface({ input: stdout }).on("line", (text) => {
    if (lastOutput !== "")
      onLog?.({ time: null, replica: null, stream: "stdout", text: lastOutput });
    lastOutput = text;
  });
  createInterface({ input: stderr }).on("line", (text) => {
    lastLines.push(text);
    if (lastLines.length > 20) lastLines.shift();
    onLog?.({ time: null, replica: null, stream: "stderr", text });
  });
  // A process that ends before it has read its input is told of by its exit.
  stdin.on("error", () => undefined).end(JSON.stringify(parameters));
  try {
    const ended = await new Promise<string>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, killed) => resolve(killed ?? `exit code ${code}`));
    });
    const result = resultIn(lastOutput);
    // A process that has only just been started ends at the signal without a word.
    if (result === null && signal?.aborted === true) throw cancelled(wasKilled);
    if (result === null) throw batchDied(ended, [...lastLines, lastOutput].filter(Boolean));
    return result;
  } finally {
    signal?.removeEventListener("abort", cancel);
    clearTimeout(timer);
    forget();
  }
}

/** Null for a line that the pipeline's own code has printed. */
function resultIn(line: string): BatchResult | null {
  try {
    const value: unknown = JSON.parse(line);
    const isResult =
      typeof value === "object" && value !== null && "run" in value && "error" in value;
    return isResult ? (value as BatchResult) : null;
  } catch {
    return null;
  }
}

function cancelled(wasKilled: boolean): MillraceError {
  return new MillraceError({
    class: "aborted",
    code: "RUN_CANCELLED",
    ...(wasKilled
      ? {
          message: `The run was cancelled. Its process did not end within ${CANCEL_SECONDS} seconds and was killed.`,
          action: "Look for code that never gives up the thread (an endless loop).",
        }
      : { message: "The run was cancelled; its process ended without a result." }),
  });
}

function batchDied(how: string, lines: readonly string[]): MillraceError {
  return new MillraceError({
    class: "pipeline",
    code: "RUN_PROCESS_DIED",
    message: `The process of the run ended without a result (${how}).`,
    action: "Look at its last lines.",
    details: { logs: lines },
  });
}
