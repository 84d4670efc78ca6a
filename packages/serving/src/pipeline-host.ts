import {
  type JsonValue,
  type Logger,
  MillraceError,
  messageOf,
  type ProcessContext,
  SERVICE_END_SECONDS,
  type Secret,
  type ServiceConfig,
} from "@millrace/core";
import { createEngine, type Engine, type Run, type StepCache } from "@millrace/engine";
import type { Log } from "./log.ts";
import type { LoadedSnapshot } from "./snapshot-directory.ts";
import { traceFields } from "./trace.ts";

export interface HostOptions {
  readonly config: ServiceConfig;
  readonly snapshot: LoadedSnapshot;
  readonly secret: (name: string) => Secret;
  readonly log: Log;
  /** Ends `onInit` early. */
  readonly signal: AbortSignal;
  readonly onLongRun: (run: Run) => void;
  /** Called for each event that a step emits. */
  readonly onEvent?: (run: Run, step: string, event: string, data: JsonValue) => void;
  readonly cache?: StepCache;
}

/** A pipeline whose `onInit` is done. */
export interface PipelineHost {
  readonly engine: Engine;
  /** Runs `onCleanup`. A failure is logged: nobody is left who could do anything about it. */
  stop(): Promise<void>;
}

/**
 * Runs `onInit` and makes the engine.
 * @throws MillraceError `INIT_FAILED`, `INIT_TIMEOUT`, or the signal's reason
 */
export async function startPipeline(options: HostOptions): Promise<PipelineHost> {
  const { config, snapshot, secret, log, signal } = options;
  const { pipeline } = snapshot;
  const state = await initialise(options);
  const logger = (run: Run, step: string): Logger =>
    log.with({ run_id: run.id, step, ...traceFields(run.trace) });
  const engine = createEngine(pipeline, {
    snapshotId: config.snapshot.id,
    state,
    secret,
    logger,
    onEvent: (run, step, event, data) => {
      logger(run, step).debug("event", { event, data });
      options.onEvent?.(run, step, event, data);
    },
    onLongRun: options.onLongRun,
    ...(options.cache === undefined ? {} : { cache: options.cache }),
  });
  return {
    engine,
    async stop() {
      engine.close();
      const { onCleanup } = pipeline;
      if (onCleanup === undefined) return;
      try {
        await within(SERVICE_END_SECONDS.cleanup, "onCleanup", neverAborted, (context) =>
          // The state's type was checked against onCleanup's where the pipeline was defined.
          onCleanup(state as never, { ...context, log: log.with({}), secret }),
        );
      } catch (error) {
        log.with({}).error("onCleanup failed.", { error });
      }
    },
  };

  async function initialise({ config: { serving } }: HostOptions): Promise<unknown> {
    const { onInit } = pipeline;
    if (onInit === undefined) return undefined;
    return within(serving.initTimeoutSeconds, "onInit", signal, (context) =>
      onInit({ ...context, log: log.with({}), secret }),
    );
  }
}

const neverAborted = new AbortController().signal;

/** Calls a hook of the pipeline with a deadline; its signal aborts at the deadline and with the outer one. */
async function within<T>(
  seconds: number,
  hook: "onInit" | "onCleanup",
  outer: AbortSignal,
  call: (context: Pick<ProcessContext, "signal">) => T | Promise<T>,
): Promise<T> {
  outer.throwIfAborted();
  const controller = new AbortController();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (reason: unknown): void => {
    controller.abort(reason);
    reject(reason);
  };
  const forward = (): void => abort(outer.reason);
  const timer = setTimeout(() => abort(hookTimedOut(hook, seconds)), seconds * 1000);
  outer.addEventListener("abort", forward);
  try {
    return await Promise.race([callHook(hook, () => call({ signal: controller.signal })), aborted]);
  } finally {
    clearTimeout(timer);
    outer.removeEventListener("abort", forward);
  }
}

async function callHook<T>(hook: string, call: () => T | Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    throw new MillraceError({
      class: "pipeline",
      code: hook === "onInit" ? "INIT_FAILED" : "CLEANUP_FAILED",
      message: `${hook} of the pipeline failed: ${messageOf(cause)}`,
      action: "Correct the hook, or what it depends on.",
      cause,
    });
  }
}

function hookTimedOut(hook: string, seconds: number): MillraceError {
  return new MillraceError({
    class: "pipeline",
    code: hook === "onInit" ? "INIT_TIMEOUT" : "CLEANUP_TIMEOUT",
    message: `${hook} of the pipeline did not finish within ${seconds} s.`,
    action:
      hook === "onInit"
        ? "Make it faster, or raise the setting `initTimeoutSeconds`."
        : "Make it faster.",
  });
}
