import type { ServingSettings } from "@millrace/core";

/** Why a request was not let in. */
export type Refusal = "full" | "late" | "closed";

interface Waiting {
  admit(): void;
  refuse(why: Refusal): void;
  timer: NodeJS.Timeout;
}

/**
 * Lets so many runs happen at once, and so many requests wait in order of arrival. Each `enter` that succeeds needs one
 * `leave`.
 */
export class Admission {
  #active = 0;
  readonly #waiting = new Set<Waiting>();
  readonly #settings: Pick<ServingSettings, "maxConcurrency" | "maxQueue" | "queueTimeoutSeconds">;

  constructor(
    settings: Pick<ServingSettings, "maxConcurrency" | "maxQueue" | "queueTimeoutSeconds">,
  ) {
    this.#settings = settings;
  }

  get active(): number {
    return this.#active;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Takes a free place at once. False when there is none. */
  tryEnter(): boolean {
    if (this.#active >= this.#settings.maxConcurrency) return false;
    this.#active++;
    return true;
  }

  /**
   * Waits for a place, at most `maxMs` or the queue's own timeout. Calls `admitted` once it is taken, else `refused`.
   * Returns a function that gives up waiting. `admitted` may still follow it when the place was just given.
   */
  wait(maxMs: number, admitted: () => void, refused: (why: Refusal) => void): () => void {
    if (this.#waiting.size >= this.#settings.maxQueue) {
      refused("full");
      return () => undefined;
    }
    const waiting: Waiting = {
      admit: admitted,
      refuse: refused,
      timer: setTimeout(
        () => {
          this.#waiting.delete(waiting);
          refused("late");
        },
        Math.min(maxMs, this.#settings.queueTimeoutSeconds * 1000),
      ),
    };
    this.#waiting.add(waiting);
    return () => {
      clearTimeout(waiting.timer);
      this.#waiting.delete(waiting);
    };
  }

  /** Gives a place back: the request that has waited longest takes it over. */
  leave(): void {
    for (const next of this.#waiting) {
      clearTimeout(next.timer);
      this.#waiting.delete(next);
      // Not at once: runs that end at once would nest as deep as the queue is long.
      queueMicrotask(next.admit);
      return;
    }
    this.#active--;
  }

  /** Turns away everybody who waits. */
  clear(): void {
    for (const waiting of this.#waiting) {
      clearTimeout(waiting.timer);
      waiting.refuse("closed");
    }
    this.#waiting.clear();
  }
}
