import { setTimeout as sleep } from "node:timers/promises";
import { isMillraceError, type MillraceError } from "@millrace/core";
import type { Context } from "../image.ts";

export interface RetryPolicy {
  /** Tries in all. */
  readonly attempts: number;
  /** Milliseconds before the second try; doubled for each one after. */
  readonly firstDelayMs: number;
  /** Milliseconds until the answer to a request without content must begin. Default 30,000. */
  readonly answerMs?: number;
}

export const DEFAULT_RETRY: RetryPolicy = { attempts: 6, firstDelayMs: 500 };
export const DEFAULT_ANSWER_MS = 30_000;

const LONGEST_DELAY_MS = 20_000;
/** A registry that wants a longer pause is not waited for here. */
const LONGEST_RETRY_AFTER_MS = 60_000;

/** Full jitter, so that callers who failed together come back apart. */
function delayBefore(attempt: number, policy: RetryPolicy): number {
  return Math.random() * Math.min(LONGEST_DELAY_MS, policy.firstDelayMs * 2 ** attempt);
}

/**
 * Does the task again while it fails with errors that say that this can help. When the signal aborts it after that, the last
 * failure is thrown, because it says more than that there was no time left.
 * @param task Calls `advanced` when it got further than before: then its tries are counted anew.
 */
export async function retrying<T>(
  policy: RetryPolicy,
  { signal, progress }: Context,
  task: (advanced: () => void) => Promise<T>,
): Promise<T> {
  let attempt = 0;
  let last: MillraceError | undefined;
  const advanced = () => {
    attempt = 1;
  };
  for (;;) {
    attempt++;
    try {
      return await task(advanced);
    } catch (error) {
      if (signal.aborted) throw last ?? error;
      if (!isMillraceError(error) || !error.retryable || attempt >= policy.attempts) throw error;
      const asked = error.retryAfterMs ?? 0;
      if (asked > LONGEST_RETRY_AFTER_MS) throw error;
      const delay = Math.max(asked, delayBefore(attempt - 1, policy));
      progress(`${error.message} Trying again in ${(delay / 1000).toFixed(1)} s.`);
      last = error;
      await sleep(delay, undefined, { signal }).catch(() => {
        throw error;
      });
    }
  }
}
