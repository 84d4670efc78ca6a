import {
  isMillraceError,
  type JsonValue,
  type Logger,
  type MillraceError,
  type RunStatus,
  type Secret,
  type StepContext,
  type StepRun,
  type Trace,
  withStepContext,
} from "@millrace/core";
import type { Invocation } from "./engine.ts";
import {
  runTimedOut,
  stepFailed,
  stepInputInvalid,
  stepOutputInvalid,
  stepTimedOut,
} from "./failures.ts";
import { writeOutputs } from "./outputs.ts";
import type { Parsed } from "./parser.ts";
import type { Schedule, ScheduledStep } from "./schedule.ts";
import { cacheKey, isJson, type StepCache } from "./step-cache.ts";

/** How often each active run looks at the clock, in milliseconds. */
export const TICK_MS = 250;
/** A run that lasts longer is announced once, so that it can be recorded while it runs. In milliseconds. */
const LONG_MS = 1000;

/** What the steps of all runs share. */
export interface RunEnvironment {
  readonly schedule: Schedule;
  readonly snapshotId: string;
  /** Its type was checked where the pipeline was defined. */
  readonly state: never;
  readonly cache: StepCache;
  logger(run: Run, step: string): Logger;
  secret(name: string): Secret;
  emit(run: Run, step: string, event: string, data: JsonValue): void;
  /** Called once when the run lasts long. */
  long(run: Run): void;
  /** Counts the steps that were told to stop and go on. */
  lingers(change: 1 | -1): void;
  /** Called once, when the run has ended and everything about it is known. */
  ended(run: Run): void;
}

type StepStatus = StepRun["status"] | "waiting" | "running";

/** What a run knows of one of its steps. */
interface StepState {
  readonly step: ScheduledStep;
  waitsFor: number;
  status: StepStatus;
  /** Milliseconds after the run's start. */
  startMs: number;
  durationMs: number;
  attempts: number;
  attempt: Attempt | undefined;
  /** Runs until the next attempt. */
  retryTimer: NodeJS.Timeout | undefined;
  /** Where the output of any attempt is kept; undefined for an output that is not. */
  cacheKey: string | undefined;
  /** The parsed output, once the status is `completed` or `cached`. */
  value: unknown;
}

/** One invocation of a pipeline. It never rejects: how it ended is its status. */
export class Run {
  readonly id: string;
  readonly name: string;
  /** The parsed parameters. */
  readonly input: unknown;
  readonly trace: Trace | undefined;
  /** Milliseconds since the epoch. */
  readonly startedAt = Date.now();
  status: RunStatus = "running";
  /** Milliseconds; null while it runs. */
  durationMs: number | null = null;
  /** By name; null unless it completed. */
  outputs: Readonly<Record<string, unknown>> | null = null;
  /** The outputs as JSON text, made once; undefined unless it completed. */
  outputsText: string | undefined = undefined;
  /** Why it did not complete. */
  error: MillraceError | null = null;
  /** Id of the step that made it fail. */
  failedStep: string | null = null;
  /** Where it stands among the active runs. */
  place = -1;

  readonly #environment: RunEnvironment;
  readonly #onEnd: (run: Run) => void;
  readonly #start = performance.now();
  readonly #timeoutMs: number;
  readonly #askedMs: number;
  #deadline: NodeJS.Timeout | undefined = undefined;
  #announced = false;
  readonly #steps: StepState[];
  #unfinished: number;

  constructor(
    environment: RunEnvironment,
    id: string,
    name: string,
    {
      input,
      timeoutMs,
      askedMs,
      trace,
    }: Pick<Invocation, "input" | "timeoutMs" | "askedMs" | "trace">,
    onEnd: (run: Run) => void,
  ) {
    this.#environment = environment;
    this.id = id;
    this.name = name;
    this.input = input;
    this.trace = trace;
    this.#timeoutMs = timeoutMs;
    this.#askedMs = askedMs ?? timeoutMs;
    this.#onEnd = onEnd;
    this.#steps = environment.schedule.steps.map(newStepState);
    this.#unfinished = this.#steps.length;
  }

  /** Begins the steps that wait for nothing. Called once, by the engine. */
  begin(): void {
    if (this.#timeoutMs <= 2 * TICK_MS) this.#armDeadline();
    if (this.#unfinished === 0) this.#complete();
    for (const index of this.#environment.schedule.first) {
      if (this.status !== "running") return;
      this.#try(this.#state(index));
    }
  }

  /**
   * Looks at the clock. The engine calls it now and then for all runs: a timer for each deadline would be set and
   * cleared in vain by almost every run, so only one that is near gets its own.
   */
  tick(): void {
    const elapsed = this.elapsedMs();
    if (!this.#announced && elapsed >= LONG_MS) {
      this.#announced = true;
      this.#environment.long(this);
    }
    if (this.#timeoutMs - elapsed <= 2 * TICK_MS) this.#armDeadline();
  }

  #armDeadline(): void {
    this.#deadline ??= setTimeout(
      () => this.abort(runTimedOut(this.#askedMs)),
      Math.max(0, this.#timeoutMs - this.elapsedMs()),
    );
  }

  /** Milliseconds since the start. */
  elapsedMs(): number {
    return performance.now() - this.#start;
  }

  /**
   * Ends the run now, whatever its steps do: every signal is aborted with the reason, steps that did not begin never
   * will, and results that come later are dropped. A run that has ended stays as it is.
   */
  abort(reason: MillraceError): void {
    this.#fail(reason.class === "timeout" ? "timed_out" : "cancelled", reason, null);
  }

  /** The steps that have ended, in the graph's order. */
  stepRuns(): StepRun[] {
    const runs: StepRun[] = [];
    for (const { step, status, startMs, durationMs, attempts } of this.#steps) {
      if (status === "waiting" || status === "running") continue;
      const began = status !== "skipped";
      runs.push({
        step: step.id,
        status,
        startMs: began ? round(startMs) : null,
        durationMs: began ? round(durationMs) : null,
        attempts,
      });
    }
    return runs;
  }

  /** Calls the function for each step that began and has ended, without allocating. */
  eachDuration(visit: (stepIndex: number, durationMs: number) => void): void {
    for (const { step, status, durationMs } of this.#steps) {
      if (status !== "waiting" && status !== "running" && status !== "skipped")
        visit(step.index, durationMs);
    }
  }

  #state(index: number): StepState {
    const state = this.#steps[index];
    if (state === undefined) throw new RangeError(`no step ${index}`);
    return state;
  }

  #try(state: StepState): void {
    if (state.attempts === 0) state.startMs = this.elapsedMs();
    state.status = "running";
    state.attempts++;
    const { step } = state;
    let parsed: Parsed | Promise<Parsed>;
    try {
      parsed = step.parseInput(step.readInput(this.input, this.#steps));
    } catch (error) {
      this.#stepFailed(state, stepFailed(step, state.attempts, error));
      return;
    }
    if (parsed instanceof Promise) {
      parsed.then(
        (result) => this.#prepared(state, result),
        (error) => this.#stepFailed(state, stepFailed(step, state.attempts, error)),
      );
    } else {
      this.#prepared(state, parsed);
    }
  }

  #prepared(state: StepState, input: Parsed): void {
    if (this.status !== "running") return;
    if (!input.success) {
      this.#stepFailed(state, stepInputInvalid(state.step, input.error));
    } else if (state.step.cache !== null && state.attempts === 1) {
      void this.#lookUp(state, input.data);
    } else {
      this.#call(state, input.data);
    }
  }

  /** A cache that cannot be read only costs time: the step then runs. */
  async #lookUp(state: StepState, input: unknown): Promise<void> {
    const { step } = state;
    let found: unknown;
    try {
      state.cacheKey = cacheKey(this.#environment.snapshotId, step.id, input);
      const text =
        state.cacheKey === undefined
          ? undefined
          : await this.#environment.cache.get(state.cacheKey);
      if (text !== undefined) found = JSON.parse(text);
    } catch (error) {
      this.#environment.logger(this, step.id).warn("The cache could not be read.", { error });
    }
    if (this.status !== "running") return;
    if (found === undefined) return this.#call(state, input);
    state.attempts = 0;
    this.#stepDone(state, "cached", found);
  }

  #call(state: StepState, input: unknown): void {
    const { step } = state;
    const attempt = new Attempt(this, this.#environment, step, state.attempts);
    state.attempt = attempt;
    if (step.timeoutMs !== null) {
      attempt.timer = setTimeout(() => {
        const error = stepTimedOut(step, state.attempts);
        attempt.abort(error);
        this.#attemptFailed(state, attempt, error);
      }, step.timeoutMs);
    }
    let result: unknown;
    let later: boolean;
    try {
      // The schema that just parsed the input gives it the type that the step wants.
      result = withStepContext(attempt, () => step.run(input as never, attempt));
      later = isThenable(result);
    } catch (error) {
      this.#attemptFailed(state, attempt, stepFailed(step, state.attempts, error));
      return;
    }
    if (later) {
      attempt.pending = true;
      Promise.resolve(result).then(
        (value) => {
          attempt.settled();
          this.#returned(state, attempt, value);
        },
        (error) => {
          attempt.settled();
          this.#attemptFailed(state, attempt, stepFailed(step, attempt.number, error));
        },
      );
    } else {
      this.#returned(state, attempt, result);
    }
  }

  #returned(state: StepState, attempt: Attempt, value: unknown): void {
    if (state.attempt !== attempt || this.status !== "running") return;
    const { step } = state;
    let parsed: Parsed | Promise<Parsed>;
    try {
      parsed = step.parseOutput(value);
    } catch (error) {
      this.#attemptFailed(state, attempt, stepFailed(step, attempt.number, error));
      return;
    }
    if (parsed instanceof Promise) {
      parsed.then(
        (result) => this.#judged(state, attempt, result),
        (error) => this.#attemptFailed(state, attempt, stepFailed(step, attempt.number, error)),
      );
    } else {
      this.#judged(state, attempt, parsed);
    }
  }

  #judged(state: StepState, attempt: Attempt, output: Parsed): void {
    if (state.attempt !== attempt || this.status !== "running") return;
    if (!output.success) {
      this.#attemptFailed(state, attempt, stepOutputInvalid(state.step, output.error));
      return;
    }
    attempt.stop();
    if (state.cacheKey !== undefined) void this.#keep(state.step, state.cacheKey, output.data);
    this.#stepDone(state, "completed", output.data);
  }

  /** Never rejects: a cache that fails only costs time. */
  async #keep(step: ScheduledStep, key: string, value: unknown): Promise<void> {
    const log = (message: string, fields = {}): void =>
      this.#environment.logger(this, step.id).warn(message, fields);
    try {
      // A value of the user's may throw when it is looked at.
      if (!isJson(value)) {
        log("The output is not cached: it is no plain JSON value.");
        return;
      }
      const ttlSeconds = step.cache?.ttlSeconds ?? 0;
      await this.#environment.cache.set(key, JSON.stringify(value), ttlSeconds);
    } catch (error) {
      log("The output could not be cached.", { error });
    }
  }

  #stepDone(state: StepState, status: "completed" | "cached", value: unknown): void {
    state.attempt = undefined;
    state.status = status;
    state.value = value;
    state.durationMs = this.elapsedMs() - state.startMs;
    this.#unfinished--;
    if (this.#unfinished === 0) {
      this.#complete();
      return;
    }
    for (const index of state.step.dependents) {
      const dependent = this.#state(index);
      dependent.waitsFor--;
      if (dependent.waitsFor === 0) this.#try(dependent);
      if (this.status !== "running") return;
    }
  }

  #attemptFailed(state: StepState, attempt: Attempt, error: MillraceError): void {
    if (state.attempt !== attempt || this.status !== "running") return;
    attempt.stop();
    state.attempt = undefined;
    const { retries } = state.step;
    if (state.attempts > retries.limit) {
      this.#stepFailed(state, error);
      return;
    }
    const wait = Math.min(
      retries.maxDelayMs,
      retries.delayMs * retries.factor ** (state.attempts - 1),
    );
    // Half of the wait is jitter, so that runs that failed together do not come back together.
    const delayMs = Math.round(wait * (0.5 + Math.random() / 2));
    state.retryTimer = setTimeout(() => {
      state.retryTimer = undefined;
      this.#try(state);
    }, delayMs);
    this.#environment
      .logger(this, state.step.id)
      .warn("The attempt failed; it is repeated.", { attempt: state.attempts, delayMs, error });
  }

  #stepFailed(state: StepState, error: MillraceError): void {
    if (this.status !== "running") return;
    state.status = error.code === "STEP_TIMEOUT" ? "timed_out" : "failed";
    state.durationMs = this.elapsedMs() - state.startMs;
    this.#fail("failed", error, state.step.id);
  }

  #fail(status: RunStatus, error: MillraceError, step: string | null): void {
    if (this.status !== "running") return;
    this.error = error;
    this.failedStep = step;
    this.#end(status);
    for (const state of this.#steps) this.#stop(state, error);
    this.#settled();
  }

  #stop(state: StepState, reason: MillraceError): void {
    if (state.status === "waiting") state.status = "skipped";
    if (state.status !== "running") return;
    state.status = this.status === "timed_out" ? "timed_out" : "cancelled";
    state.durationMs = this.elapsedMs() - state.startMs;
    clearTimeout(state.retryTimer);
    state.attempt?.abort(reason);
  }

  #complete(): void {
    const written = writeOutputs(this.#environment.schedule.outputs, this.input, this.#steps);
    if (isMillraceError(written)) {
      this.#outputsFailed(written);
      return;
    }
    this.outputs = written.values;
    this.outputsText = written.text;
    this.#end("completed");
    this.#settled();
  }

  /** The step whose output is no JSON value is the one that failed, although it ended well. */
  #outputsFailed(error: MillraceError): void {
    const culprit = this.#steps.find(({ step }) => step.id === error.details["step"]);
    if (culprit !== undefined) culprit.status = "failed";
    this.#fail("failed", error, culprit?.step.id ?? null);
  }

  #end(status: RunStatus): void {
    this.durationMs = this.elapsedMs();
    this.status = status;
    clearTimeout(this.#deadline);
  }

  #settled(): void {
    this.#environment.ended(this);
    this.#onEnd(this);
  }
}

function newStepState(step: ScheduledStep): StepState {
  return {
    step,
    waitsFor: step.waitsFor,
    status: "waiting",
    startMs: 0,
    durationMs: 0,
    attempts: 0,
    attempt: undefined,
    retryTimer: undefined,
    cacheKey: undefined,
    value: undefined,
  };
}

/** One try of one step; it is what the step sees as its context. What a step may never ask for is made when it asks. */
class Attempt implements StepContext<never> {
  readonly number: number;
  timer: NodeJS.Timeout | undefined = undefined;
  /** Whether the step has returned a promise that goes on. */
  pending = false;
  readonly #run: Run;
  readonly #environment: RunEnvironment;
  readonly #step: ScheduledStep;
  #controller: AbortController | undefined = undefined;
  #reason: MillraceError | undefined = undefined;

  constructor(run: Run, environment: RunEnvironment, step: ScheduledStep, number: number) {
    this.#run = run;
    this.#environment = environment;
    this.#step = step;
    this.number = number;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  get state(): never {
    return this.#environment.state;
  }

  get log(): Logger {
    return this.#environment.logger(this.#run, this.#step.id);
  }

  get run(): StepContext["run"] {
    return { id: this.#run.id, name: this.#run.name };
  }

  get trace(): Trace | undefined {
    return this.#run.trace;
  }

  get step(): StepContext["step"] {
    return { id: this.#step.id, name: this.#step.name, attempt: this.number };
  }

  // Functions are handed out bound, so that `({ city }, { emit }) => …` works.
  get emit(): StepContext["emit"] {
    return (event, data) => this.#environment.emit(this.#run, this.#step.id, event, data);
  }

  get secret(): StepContext["secret"] {
    return (name) => this.#environment.secret(name);
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  /** The step's promise has come to its end. */
  settled(): void {
    this.pending = false;
    if (this.#reason !== undefined) this.#environment.lingers(-1);
  }

  abort(reason: MillraceError): void {
    this.stop();
    if (this.pending) this.#environment.lingers(1);
    this.#reason = reason;
    this.#controller?.abort(reason);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    value instanceof Promise ||
    (typeof value === "object" &&
      value !== null &&
      "then" in value &&
      typeof value.then === "function")
  );
}

/** Microseconds are as fine as a record needs. */
function round(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}
