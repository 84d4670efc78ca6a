import { type Clock, isMillraceError, type MillraceError, sentence } from "@millrace/core";
import type { Timing } from "../client.ts";

/** Waits between two polls: they grow by half, with jitter so that operators who began together do not stay together. */
export function pollWaits(
  { pollMs, pollMaxMs }: Pick<Timing, "pollMs" | "pollMaxMs">,
  random: () => number = Math.random,
): () => number {
  let wait = pollMs;
  return () => {
    const now = wait;
    wait = Math.min(pollMaxMs, wait * 1.5);
    return now * (0.5 + random() / 2);
  };
}

/** Waits between two tries: exponential with full jitter, so that operators who failed together come back apart. */
export function retryWaits(
  { pollMs, pollMaxMs }: Pick<Timing, "pollMs" | "pollMaxMs">,
  random: () => number = Math.random,
): () => number {
  let most = pollMs;
  return () => {
    most = Math.min(pollMaxMs, most * 2);
    return most * random();
  };
}

export interface Retrying {
  readonly clock: Clock;
  readonly timing: Pick<Timing, "pollMs" | "pollMaxMs">;
  readonly signal: AbortSignal;
  readonly progress: (message: string) => void;
}

/**
 * Repeats a call to the platform while it fails in a way that waiting can mend, until the signal aborts. The last
 * failure is thrown then, because it says more than the deadline does.
 */
export async function retryTransient<T>(
  { clock, timing, signal, progress }: Retrying,
  call: () => Promise<T>,
): Promise<T> {
  const nextWait = retryWaits(timing);
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!isMillraceError(error) || !error.retryable || signal.aborted) throw error;
      progress(tryingAgain(error));
      try {
        await clock.sleep(Math.max(nextWait(), error.retryAfterMs ?? 0), signal);
      } catch {
        throw error;
      }
    }
  }
}

/** With the advice: what waiting is said to mend may also wait for the user. */
function tryingAgain({ message, action }: MillraceError): string {
  const advice = action === undefined ? "" : ` ${sentence(action)}`;
  return `${sentence(message)}${advice} Trying again.`;
}
