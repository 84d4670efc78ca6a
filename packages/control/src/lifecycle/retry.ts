import { type Clock, isMillraceError } from "@millrace/core";
import type { Timing } from "../client.ts";

/** Waits between tries: growing, with jitter so that operators who failed together do not come back together. */
export function backOff(timing: Timing, random: () => number = Math.random): () => number {
  let wait = timing.pollMs;
  return () => {
    const now = wait;
    wait = Math.min(timing.pollMaxMs, wait * 1.5);
    return now * (0.5 + random() / 2);
  };
}

/**
 * Repeats a call to the platform while it fails in a way that waiting can mend, until the signal aborts. The last
 * failure is thrown then, because it says more than the deadline does.
 */
export async function retryTransient<T>(
  clock: Clock,
  timing: Timing,
  signal: AbortSignal,
  progress: (message: string) => void,
  call: () => Promise<T>,
): Promise<T> {
  const nextWait = backOff(timing);
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!isMillraceError(error) || !error.retryable || signal.aborted) throw error;
      progress(`${error.message} Trying again.`);
      try {
        await clock.sleep(Math.max(nextWait(), error.retryAfterMs ?? 0), signal);
      } catch {
        throw error;
      }
    }
  }
}
