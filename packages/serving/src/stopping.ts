import type { DrainOptions } from "./drain.ts";

/** Why and how the process is to end. */
export interface StopRequest extends DrainOptions {
  readonly why: string;
  readonly exitCode: number;
}

/** Collects the reasons to end. The first one ends the process; a later one can only make it hurry. */
export class Stopping {
  readonly #first = Promise.withResolvers<StopRequest>();
  readonly #controller = new AbortController();
  #request: StopRequest | undefined = undefined;

  /** Resolves at the first request. */
  get requested(): Promise<StopRequest> {
    return this.#first.promise;
  }

  /** Aborted at the first request. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The request as it stands now. */
  get current(): StopRequest | undefined {
    return this.#request;
  }

  request(request: StopRequest): void {
    const earlier = this.#request;
    if (earlier === undefined) {
      this.#request = request;
      this.#controller.abort();
      this.#first.resolve(request);
      return;
    }
    this.#request = {
      why: earlier.why,
      exitCode: Math.max(earlier.exitCode, request.exitCode),
      deadlineMs: Math.min(earlier.deadlineMs, request.deadlineMs),
      successor: earlier.successor && request.successor,
    };
  }
}
