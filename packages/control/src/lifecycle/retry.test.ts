import { type Clock, MillraceError } from "@millrace/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { pollWaits, retryTransient, retryWaits } from "./retry.ts";

const timing = { pollMs: 40, pollMaxMs: 5000 };

/** Sleeps at once and says how long. */
function instantClock(): Clock & { readonly slept: number[] } {
  const slept: number[] = [];
  return {
    slept,
    now: () => slept.reduce((sum, one) => sum + one, 0),
    async sleep(milliseconds, signal) {
      signal.throwIfAborted();
      slept.push(milliseconds);
    },
  };
}

function busy(options: { retryable: boolean; retryAfterMs?: number }): MillraceError {
  return new MillraceError({ class: "unreachable", code: "BUSY", message: "Busy.", ...options });
}

function failing(...errors: unknown[]): () => Promise<string> {
  return async () => {
    if (errors.length > 0) throw errors.shift();
    return "done";
  };
}

function retrying(clock: Clock, signal = new AbortController().signal) {
  return { clock, timing, signal, progress: () => undefined };
}

test("waits grow and stay within their bounds", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1000 }),
      fc.integer({ min: 1, max: 1000 }),
      fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), { minLength: 1 }),
      (pollMs, factor, dice) => {
        const pollMaxMs = pollMs * factor;
        for (const waits of [pollWaits, retryWaits]) {
          const rolls = [...dice];
          const next = waits({ pollMs, pollMaxMs }, () => rolls.shift() ?? 0);
          for (const _ of dice) {
            const wait = next();
            expect(wait).toBeGreaterThanOrEqual(0);
            expect(wait).toBeLessThanOrEqual(pollMaxMs);
          }
        }
      },
    ),
  );
  const polls = pollWaits(timing, () => 1);
  expect([polls(), polls(), polls()]).toEqual([40, 60, 90]);
  const tries = retryWaits(timing, () => 1);
  expect([tries(), tries(), tries()]).toEqual([80, 160, 320]);
});

test("a transient failure is tried again until it works", async () => {
  const clock = instantClock();
  const call = failing(busy({ retryable: true }), busy({ retryable: true }));
  expect(await retryTransient(retrying(clock), call)).toBe("done");
  expect(clock.slept).toHaveLength(2);
});

test("a wait that the platform asked for is kept", async () => {
  const clock = instantClock();
  await retryTransient(retrying(clock), failing(busy({ retryable: true, retryAfterMs: 7777 })));
  expect(clock.slept).toEqual([7777]);
});

test.each([busy({ retryable: false }), new TypeError("bug")])(
  "any other failure is final",
  async (error) => {
    const clock = instantClock();
    await expect(retryTransient(retrying(clock), failing(error))).rejects.toBe(error);
    expect(clock.slept).toEqual([]);
  },
);

test("the end of the time ends it with what failed last", async () => {
  const clock = instantClock();
  const stop = new AbortController();
  const last = busy({ retryable: true });
  const call = async () => {
    if (clock.slept.length === 3) stop.abort();
    throw last;
  };
  await expect(retryTransient(retrying(clock, stop.signal), call)).rejects.toBe(last);
  expect(clock.slept).toHaveLength(3);
});

test("says what failed and what helps before it tries again", async () => {
  const told: string[] = [];
  const error = new MillraceError({
    class: "unreachable",
    code: "DOWN",
    message: "Nobody answers: connect ENOENT",
    action: "Start the daemon",
    retryable: true,
  });
  const parts = { ...retrying(instantClock()), progress: (message: string) => told.push(message) };
  await retryTransient(parts, failing(error));
  expect(told).toEqual(["Nobody answers: connect ENOENT. Start the daemon. Trying again."]);
});

test("says again and again what it waits for, at growing distances, and for how long", async () => {
  const told: string[] = [];
  const clock = instantClock();
  const call = async () => {
    if (clock.now() < 600_000) throw busy({ retryable: true, retryAfterMs: 5000 });
  };
  const progress = (message: string) => told.push(message);
  await retryTransient({ ...retrying(clock), progress, deadlineAt: 600_000 }, call);
  expect(told).toEqual(
    [600, 595, 590, 580, 560, 520, 440, 280].map(
      (seconds) => `Busy. Trying again for ${seconds} s at most.`,
    ),
  );
});
