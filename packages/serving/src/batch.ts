import { join } from "node:path";
import {
  ERROR_CLASSES,
  type ErrorSummary,
  MillraceError,
  messageOf,
  type RunRecord,
  SERVICE_END_SECONDS,
  summarizeError,
} from "@millrace/core";
import { folderStepCache } from "@millrace/engine";
import { startRecorder } from "@millrace/store";
import { givenSecrets, readEnvironment, runStoreOf, secretReader } from "./environment.ts";
import { openLog } from "./log.ts";
import { findParent } from "./parent.ts";
import { startPipeline } from "./pipeline-host.ts";
import { hidePrintedSecrets } from "./printed-secrets.ts";
import { logEnd } from "./run-end.ts";
import { makeRunRecording, textsOf } from "./run-recording.ts";
import { loadSnapshot } from "./snapshot-directory.ts";

/** What a batch run writes to stdout, as one line of JSON. */
export interface BatchResult {
  /** Null when no run began. */
  readonly run: RunRecord | null;
  /** Null when the run completed. */
  readonly error: ErrorSummary | null;
  /** Only when neither the store nor its spool took the run. */
  readonly recorded?: false;
}

export interface BatchOptions {
  /** Name of the run. Default: made up. */
  readonly name: string | undefined;
  /** Deadline in milliseconds. Default: none. */
  readonly timeoutMs: number | undefined;
}

type Variables = Readonly<Record<string, string | undefined>>;

/**
 * Runs a snapshot's pipeline once: parameters as JSON on stdin, log lines on stderr, `BatchResult` as the last line of stdout,
 * after what the pipeline's own code prints there.
 * @returns The exit code: 0, or that of the error's class.
 */
export async function runBatch(
  directory: string,
  variables: Variables,
  options: BatchOptions,
): Promise<number> {
  // What the pipeline gives back is not what it prints.
  const write = process.stdout.write.bind(process.stdout);
  const result = await outcome(directory, variables, options);
  await new Promise((written) => write(`\n${JSON.stringify(result)}\n`, written));
  return result.error === null ? 0 : ERROR_CLASSES[result.error.class].exitCode;
}

async function outcome(
  directory: string,
  variables: Variables,
  options: BatchOptions,
): Promise<BatchResult> {
  try {
    return await runOnce(directory, variables, options);
  } catch (error) {
    return { run: null, error: summarizeError(error, givenSecrets()) };
  }
}

async function runOnce(
  directory: string,
  variables: Variables,
  options: BatchOptions,
): Promise<BatchResult> {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => stop.abort(interrupted(signal)));
  }
  const parent = findParent();
  parent?.onGone(() => stop.abort(interrupted("the end of its parent")));
  const environment = await readEnvironment(variables);
  await parent?.send({ type: "read" });
  const { config, secrets } = environment;
  const { deployment, serving } = config;
  const store = runStoreOf(environment);
  const log = openLog(2, serving.logLevel, secrets.values());
  hidePrintedSecrets([...secrets.values()]);
  // As in a service: a promise that nobody awaits harms no run, an exception outside of any step ends it.
  process.on("unhandledRejection", (error) =>
    log.with({}).error("A promise was rejected and nobody handled it.", { error }),
  );
  process.on("uncaughtException", (error) => {
    log.with({}).error("An exception was thrown outside of any step; the run ends.", { error });
    stop.abort(uncaught(error));
  });
  // A module may wait for ever while it is loaded.
  const snapshot = await Promise.race([
    loadSnapshot(directory, config.snapshot.id),
    rejectsAtAbort(stop.signal),
  ]);
  const secret = secretReader(snapshot.manifest.pipeline.secrets, secrets);
  const { projectId } = deployment;
  // One run that a person waits for: always recorded, and before the end.
  const tracking = { ...serving.tracking, mode: "sync" } as const;
  const recorder = startRecorder({
    store,
    tracking,
    projectId,
    log: log.line,
    logWritten: log.written,
  });
  const recording = makeRunRecording(recorder, tracking, {
    projectId,
    pipelineName: snapshot.pipeline.name,
    snapshotId: config.snapshot.id,
    deploymentId: null,
    secrets: [...secrets.values()],
  });
  try {
    const host = await startPipeline({
      config,
      snapshot,
      secret,
      log,
      signal: stop.signal,
      onLongRun: (run) => recording.goesOn(run),
      ...(store === null
        ? {}
        : { cache: folderStepCache(join(store.spoolDirectory, "step-cache")) }),
    });
    try {
      const input = await host.engine.parse(await readParameters());
      const timeoutMs = options.timeoutMs ?? Number.POSITIVE_INFINITY;
      const run = await host.engine.run({ input, timeoutMs, name: options.name }, stop.signal);
      logEnd(log.with({}), run);
      const recorded = await recording.ended(run, textsOf(run));
      return {
        run: recording.record(run),
        error: run.error === null ? null : summarizeError(run.error, secrets.values()),
        ...(recorded === false ? { recorded } : {}),
      };
    } finally {
      await host.stop();
    }
  } finally {
    await recorder.close(SERVICE_END_SECONDS.records * 1000);
    log.flush();
  }
}

async function readParameters(): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString("utf8").trim();
  if (text === "") return {};
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new MillraceError({
      class: "usage",
      code: "PARAMETERS_MALFORMED",
      message: `The parameters are no well-formed JSON: ${messageOf(cause)}.`,
      action: "Give them as a JSON object on stdin.",
      cause,
    });
  }
}

function uncaught(cause: unknown): MillraceError {
  return new MillraceError({
    class: "pipeline",
    code: "UNCAUGHT_EXCEPTION",
    message: `An exception was thrown outside of any step: ${messageOf(cause)}`,
    action: "Await what a step begins, so that its failure is that step's.",
    cause,
  });
}

function interrupted(by: string): MillraceError {
  return new MillraceError({
    class: "aborted",
    code: "RUN_CANCELLED",
    message: `The run was cancelled by ${by}.`,
  });
}

function rejectsAtAbort(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
