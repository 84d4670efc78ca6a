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

/** Who waits for long is told so again, each time after as long as all the time before, and after this at least. */
const NOTICE_MS = 5000;

export interface Retrying {
  readonly clock: Clock;
  readonly timing: Pick<Timing, "pollMs" | "pollMaxMs">;
  readonly signal: AbortSignal;
  readonly progress: (message: string) => void;
  /** When the signal will abort at the latest, in milliseconds since the epoch, where that is known. */
  readonly deadlineAt?: number | undefined;
}

/**
 * Repeats a call to the platform while it fails in a way that waiting can mend, until the signal aborts. The last
 * failure is thrown then, because it says more than the deadline does.
 */
export async function retryTransient<T>(
  { clock, timing, signal, progress, deadlineAt }: Retrying,
  call: () => Promise<T>,
): Promise<T> {
  const nextWait = retryWaits(timing);
  const begun = clock.now();
  let told: { readonly message: string; readonly againAt: number } | undefined;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!isMillraceError(error) || !error.retryable || signal.aborted) throw error;
      const now = clock.now();
      if (told?.message !== error.message || now >= told.againAt) {
        progress(tryingAgain(error, deadlineAt === undefined ? null : deadlineAt - now));
        told = { message: error.message, againAt: now + Math.max(NOTICE_MS, now - begun) };
      }
      try {
        await clock.sleep(Math.max(nextWait(), error.retryAfterMs ?? 0), signal);
      } catch {
        throw error;
      }
    }
  }
}

/** With the advice: what waiting is said to mend may also wait for the user. */
function tryingAgain({ message, action }: MillraceError, restMs: number | null): string {
  const advice = action === undefined ? "" : ` ${sentence(action)}`;
  const rest = restMs === null ? "" : ` for ${Math.max(0, Math.ceil(restMs / 1000))} s at most`;
  return `${sentence(message)}${advice} Trying again${rest}.`;
}
