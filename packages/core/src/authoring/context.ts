import { AsyncLocalStorage } from "node:async_hooks";
import { MillraceError } from "../errors.ts";
import type { JsonValue } from "../json.ts";
import type { Secret } from "../secret.ts";

/** Writes structured log lines; each carries the run's and the step's id. */
export interface Logger {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** What `onInit` and `onCleanup` are given. */
export interface ProcessContext {
  readonly log: Logger;
  /** Aborted when start-up or shutdown passes its deadline. */
  readonly signal: AbortSignal;
  /**
   * The value of a secret that the pipeline declared by name.
   * @throws MillraceError `SECRET_NOT_DECLARED` when the pipeline does not declare it.
   */
  secret(name: string): Secret;
}

/** The W3C trace context of a request, as the headers that hand it on: `fetch(url, { headers: { ...trace } })`. */
export interface Trace {
  readonly traceparent: string;
  readonly tracestate?: string;
}

/** What a step's `run` is given beside its input. */
export interface StepContext<State = unknown> {
  /** Aborted at the step's or run's deadline, when the client hangs up, and when another step fails. */
  readonly signal: AbortSignal;
  /** What `onInit` returned: made once per process and shared by all runs. */
  readonly state: State;
  readonly log: Logger;
  /** Streams an event to the client of the run, if it asked for events; with the log level `debug` to the log as well. */
  emit(event: string, data: JsonValue): void;
  readonly run: { readonly id: string; readonly name: string };
  /** The trace that the run belongs to; undefined when its caller named none. Its id is `trace_id` in the lines of `log`. */
  readonly trace: Trace | undefined;
  /** `attempt` counts from 1. */
  readonly step: { readonly id: string; readonly name: string; readonly attempt: number };
  /** @throws MillraceError `SECRET_NOT_DECLARED` when the pipeline does not declare it. */
  secret(name: string): Secret;
}

const KEY = Symbol.for("millrace.stepContext.v1");

function storage(): AsyncLocalStorage<StepContext> {
  // A bundled pipeline carries its own copy of this module; the registry on globalThis makes both use one storage.
  const registry = globalThis as { [KEY]?: AsyncLocalStorage<StepContext> };
  registry[KEY] ??= new AsyncLocalStorage<StepContext>();
  return registry[KEY];
}

/** The context of the running step, for code called from a step that was not handed it. Undefined outside of a step. */
export function currentStepContext(): StepContext | undefined {
  return storage().getStore();
}

/**
 * The context of the running step.
 * @throws MillraceError `STEP_CONTEXT_MISSING` outside of a step.
 */
export function stepContext(): StepContext {
  const context = currentStepContext();
  if (context !== undefined) return context;
  throw new MillraceError({
    class: "pipeline",
    code: "STEP_CONTEXT_MISSING",
    message: "stepContext() was called outside of a running step.",
    action: "Call it from a step's run function, or from code that one calls.",
  });
}

/** Runs a function with the given context as the current one. For engines. */
export function withStepContext<T>(context: StepContext, run: () => T): T {
  return storage().run(context, run);
}
