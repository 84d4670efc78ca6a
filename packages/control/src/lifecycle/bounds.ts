import {
  type Clock,
  isMillraceError,
  MillraceError,
  sentence,
  toMillraceError,
} from "@millrace/core";
import type { Call } from "./dependencies.ts";

/** The longest time that a timer takes, in milliseconds: 24.8 days. */
export const LONGEST_MS = 2 ** 31 - 1;

/** What can end a call early: its deadline, its caller, and the loss of the lease. */
export class Bounds {
  /** Aborts as soon as one of them happens. */
  readonly signal: AbortSignal;
  readonly #deployment: string;
  readonly #clock: Clock;
  readonly #seconds: number;
  readonly #lost: AbortSignal;
  readonly #deadline = new AbortController();
  #deadlineAt = 0;
  #timer = new AbortController();

  constructor(clock: Clock, deployment: string, call: Call, lost: AbortSignal) {
    this.#deployment = deployment;
    this.#clock = clock;
    this.#seconds = call.timeoutSeconds;
    this.#lost = lost;
    const caller = call.signal === undefined ? [] : [call.signal];
    this.signal = AbortSignal.any([this.#deadline.signal, lost, ...caller]);
    this.#start();
  }

  #start(): void {
    const timer = new AbortController();
    this.#timer = timer;
    const milliseconds = Math.min(this.#seconds * 1000, LONGEST_MS);
    this.#deadlineAt = this.#clock.now() + milliseconds;
    this.#clock.sleep(milliseconds, timer.signal).then(
      () => this.#deadline.abort(timedOut(this.#deployment, this.#seconds)),
      // It was stopped: there is no deadline any more.
      () => undefined,
    );
  }

  /** In milliseconds since the epoch. */
  get deadlineAt(): number {
    return this.#deadlineAt;
  }

  /** Waits without a deadline, for what a user takes to answer; it counts anew afterwards. */
  async unhurried<T>(work: () => Promise<T>): Promise<T> {
    this.#timer.abort();
    try {
      return await work();
    } finally {
      this.#start();
    }
  }

  close(): void {
    this.#timer.abort();
  }

  /** Which of them happened first. */
  get ended(): "timed_out" | "aborted" | "lost" | null {
    if (!this.signal.aborted) return null;
    if (isReasonOf(this.#lost, this.signal)) return "lost";
    return isReasonOf(this.#deadline.signal, this.signal) ? "timed_out" : "aborted";
  }

  /** A call that was cut off fails in words of its own; why it was cut off says more. */
  explain(thrown: unknown): MillraceError {
    const { ended } = this;
    if (ended === null) return toMillraceError(thrown);
    const reason: unknown = this.signal.reason;
    if (ended !== "aborted" && isMillraceError(reason))
      return thrown === reason || !isMillraceError(thrown) ? reason : withCause(reason, thrown);
    const aborted = new MillraceError({
      class: "aborted",
      code: "ABORTED",
      message: `The operation on deployment "${this.#deployment}" was stopped.`,
      action: `Run the same command, or \`npx millrace deployment refresh ${this.#deployment}\`, to pick it up.`,
      cause: thrown,
    });
    return isMillraceError(thrown) && thrown.class === "unreachable"
      ? withCause(aborted, thrown)
      : aborted;
  }
}

function isReasonOf(one: AbortSignal, any: AbortSignal): boolean {
  return one.aborted && one.reason === any.reason;
}

function withCause(error: MillraceError, cause: MillraceError): MillraceError {
  return new MillraceError({
    ...error,
    message: `${error.message} What stood in its way: ${sentence(cause.message)}`,
    action: [cause.action, error.action]
      .filter((advice) => advice !== undefined)
      .map(sentence)
      .join(" "),
    cause,
  });
}

/** The platform could not be asked, if that is what an error says or comes from. */
export function unreachableCause(error: MillraceError): MillraceError | null {
  if (error.class === "unreachable") return error;
  const { cause } = error;
  return isMillraceError(cause) && cause.class === "unreachable" ? cause : null;
}

function timedOut(deployment: string, seconds: number): MillraceError {
  return new MillraceError({
    class: "timeout",
    code: "OPERATION_TIMED_OUT",
    message: `The operation on deployment "${deployment}" was not done after ${seconds} s; the platform may go on with it.`,
    action: `Run the same command, or \`npx millrace deployment refresh ${deployment}\`, to pick it up where it stands. --timeout allows more time.`,
    retryable: true,
  });
}
