import {
  type CompiledPipeline,
  defaultRunName,
  type Issue,
  issuesOf,
  type JsonValue,
  type Logger,
  type Secret,
  type Trace,
  uuidv7,
} from "@millrace/core";
import { ActiveRuns } from "./active-runs.ts";
import { parametersInvalid, runCancelled } from "./failures.ts";
import type { Parsed } from "./parser.ts";
import { Run, type RunEnvironment, TICK_MS } from "./run.ts";
import { makeSchedule } from "./schedule.ts";
import { memoryStepCache, type StepCache } from "./step-cache.ts";

export interface EngineOptions {
  /** Id of the snapshot; part of every cache key. */
  readonly snapshotId: string;
  /** What `onInit` returned. */
  readonly state?: unknown;
  /** Makes the logger of a step; called when the step asks for it. */
  readonly logger: (run: Run, step: string) => Logger;
  /** @throws MillraceError `SECRET_NOT_DECLARED` */
  readonly secret: (name: string) => Secret;
  /** Default: in memory, 64 Mi characters. */
  readonly cache?: StepCache;
  /** Called for each `context.emit`. */
  readonly onEvent?: (run: Run, step: string, event: string, data: JsonValue) => void;
  /** Called once for a run that has lasted more than about a second. */
  readonly onLongRun?: (run: Run) => void;
}

export interface Invocation {
  /** Parameters as `Engine.parse` returned them. */
  readonly input: unknown;
  /** Deadline in milliseconds from now. */
  readonly timeoutMs: number;
  /** The deadline as its caller asked for it, of which a part may have passed. Default: `timeoutMs`. */
  readonly askedMs?: number;
  /** Default: a new UUIDv7. */
  readonly id?: string;
  /** Default: the pipeline's name and the last 12 digits of the id. */
  readonly name?: string | undefined;
  /** The caller's trace, for the steps to hand on. Default: none. */
  readonly trace?: Trace | undefined;
}

export interface Engine {
  /** Ids of the steps, in the order that `Run.eachDuration` counts them. */
  readonly steps: readonly string[];
  /** Runs that have not ended. */
  readonly active: Iterable<Run> & { readonly size: number };
  /** How many steps go on although their signal was aborted: their run has ended, or their attempt was given up. */
  readonly lingering: number;
  /**
   * Checks the parameters of an invocation: at once unless the schema has async parts. Unknown keys are refused.
   * @throws MillraceError `PARAMETERS_INVALID`, with every issue and its path.
   */
  parse(parameters: unknown): unknown;
  /** Begins a run. `onEnd` is called once, perhaps before `start` returns. */
  start(invocation: Invocation, onEnd: (run: Run) => void): Run;
  /** The same as a promise, which never rejects: the run's status says how it ended. The signal cancels it. */
  run(invocation: Invocation, signal?: AbortSignal): Promise<Run>;
  /** Stops the engine's clock, which keeps the process alive. Abort the active runs first. */
  close(): void;
}

/** Prepares a pipeline for any number of runs. The order of its steps is worked out here, once. */
export function createEngine(compiled: CompiledPipeline, options: EngineOptions): Engine {
  const schedule = makeSchedule(compiled);
  const active = new ActiveRuns<Run>();
  let lingering = 0;
  const environment: RunEnvironment = {
    schedule,
    snapshotId: options.snapshotId,
    state: options.state as never,
    cache: options.cache ?? memoryStepCache(),
    logger: options.logger,
    secret: options.secret,
    emit: options.onEvent ?? (() => undefined),
    long: options.onLongRun ?? (() => undefined),
    lingers: (change) => {
      lingering += change;
    },
    ended: (run) => active.delete(run),
  };
  const clock = setInterval(() => {
    for (const run of active) run.tick();
  }, TICK_MS);
  const accept = (parsed: Parsed): unknown => {
    if (parsed.success) return parsed.data;
    throw parametersInvalid(compiled.name, issuesOf(parsed.error, compiled.input));
  };
  const start: Engine["start"] = (invocation, onEnd) => {
    const id = invocation.id ?? uuidv7();
    const name = invocation.name ?? defaultRunName(schedule.pipeline, id);
    const run = new Run(environment, id, name, invocation, onEnd);
    active.add(run);
    run.begin();
    return run;
  };
  return {
    steps: schedule.steps.map((step) => step.id),
    active,
    get lingering() {
      return lingering;
    },
    parse(parameters) {
      let parsed: Parsed | Promise<Parsed>;
      try {
        parsed = schedule.parseInput(parameters);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        throw parametersInvalid(compiled.name, [tooDeep]);
      }
      return parsed instanceof Promise ? parsed.then(accept) : accept(parsed);
    },
    start,
    run(invocation, signal) {
      return new Promise((resolve) => {
        const run = start(invocation, (ended) => {
          signal?.removeEventListener("abort", cancel);
          resolve(ended);
        });
        function cancel(): void {
          run.abort(runCancelled(signal?.reason));
        }
        if (run.status !== "running") return;
        if (signal?.aborted) cancel();
        else signal?.addEventListener("abort", cancel);
      });
    },
    close: () => clearInterval(clock),
  };
}

const tooDeep: Issue = { path: [], message: "nested too deeply" };
