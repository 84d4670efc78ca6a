import { AssertionError } from "node:assert";
import { setTimeout as sleep } from "node:timers/promises";
import { isMillraceError, messageOf } from "@millrace/core";
import { Bench, NotTestable } from "./bench.ts";
import type { Check } from "./check.ts";
import { checks as allChecks } from "./checks/index.ts";
import { type Fixtures, makeFixtures } from "./fixtures.ts";
import { type Harness, loadFlavor } from "./harness.ts";

export type Outcome = "passed" | "failed" | "not applicable" | "not testable" | "not made";

export interface CheckResult {
  readonly id: string;
  readonly title: string;
  /** The clause that the check tests; for one that failed only in the end, CLEAN-01. */
  readonly clause: string;
  readonly outcome: Outcome;
  /** Why it failed or was not made. */
  readonly reason: string | null;
  readonly seconds: number;
}

export interface Report {
  readonly harness: string;
  readonly flavor: string;
  readonly results: readonly CheckResult[];
}

export interface RunOptions {
  /** Ids of checks or clauses. Default: all. */
  readonly only?: readonly string[];
  /** Made before, to be shared between several runs. */
  readonly fixtures?: Fixtures;
  readonly onResult?: (result: CheckResult) => void;
  /** Ends the run early: checks under way fail, their platforms are closed, and the others are not made. */
  readonly signal?: AbortSignal;
}

const CHECK_TIMEOUT_MS = 90_000;

/** The checks that a selection by ids of checks and clauses names. */
export function selectChecks(only: readonly string[] | undefined): readonly Check[] {
  if (only === undefined || only.length === 0) return allChecks;
  return allChecks.filter(({ id, clause }) => only.includes(id) || only.includes(clause));
}

/** Runs the suite on a deployer. Rejects only when the harness itself is broken. */
export async function runSuite(harness: Harness, options: RunOptions = {}): Promise<Report> {
  const { flavor } = await loadFlavor(harness);
  const selected = selectChecks(options.only);
  const fixtures = options.fixtures ?? (await makeFixtures(flavor));
  const parts: Parts = { harness, flavor, fixtures, late: [] };
  const results = new Map<string, CheckResult>();
  const queue = [...selected];
  const work = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      if (options.signal?.aborted === true) return;
      const result = await runCheck(next, parts, options.signal);
      results.set(next.id, result);
      options.onResult?.(result);
    }
  };
  try {
    await Promise.all(Array.from({ length: harness.parallel ?? 1 }, work));
  } finally {
    await Promise.all(parts.late);
    if (options.fixtures === undefined) await fixtures.close();
    await harness.close?.();
  }
  return {
    harness: harness.name,
    flavor: flavor.name,
    results: selected.map((one) => results.get(one.id) ?? notMade(one, options.signal)),
  };
}

function notMade({ id, title, clause }: Check, signal: AbortSignal | undefined): CheckResult {
  const reason = messageOf(signal?.reason);
  return { id, title, clause, outcome: "not made", reason, seconds: 0 };
}

interface Parts extends Pick<Bench, "harness" | "flavor" | "fixtures"> {
  /** What closes the platforms that came too late for their checks. */
  readonly late: Promise<void>[];
}

/** Runs one check on a platform of its own. Never rejects. */
export async function runCheck(
  one: Check,
  parts: Parts,
  signal?: AbortSignal,
): Promise<CheckResult> {
  const began = performance.now();
  const { id, title, clause } = one;
  const result = (outcome: Outcome, reason: string | null, failed = clause): CheckResult => ({
    id,
    title,
    clause: failed,
    outcome,
    reason,
    seconds: Math.round(performance.now() - began) / 1000,
  });
  if (!one.requires(parts.flavor.capabilities, parts.harness))
    return result("not applicable", "the clause does not bind this deployer");
  const seconds = parts.harness.setupTimeoutSeconds ?? 60;
  const opening = Bench.open(parts, one.needs);
  let bench: Bench;
  try {
    bench = await within(seconds * 1000, "the harness's setup", opening);
  } catch (error) {
    parts.late.push(closeLate(opening, seconds));
    return result("failed", `the harness's setup failed: ${explain(error)}`);
  }
  try {
    for (const fault of one.needs) bench.fault(fault);
    // Impatience is with what a check waits for, not with a machine that has much to do.
    const limit = CHECK_TIMEOUT_MS * Math.max(1, parts.harness.patience ?? 1);
    await within(limit, "the check", one.run(bench), signal);
  } catch (error) {
    await closeQuietly(bench, seconds);
    return error instanceof NotTestable
      ? result("not testable", error.message)
      : result("failed", explain(error));
  }
  try {
    await within(CHECK_TIMEOUT_MS, "the clean-up", bench.clean());
  } catch (error) {
    return result("failed", `after the check: ${explain(error)}`, "CLEAN-01");
  } finally {
    await closeQuietly(bench, seconds);
  }
  return result("passed", null);
}

/** What the harness fails at in the end must not hide what the check found. */
async function closeQuietly(bench: Bench, seconds: number): Promise<void> {
  try {
    await within(seconds * 1000, "the harness's close", bench.close());
  } catch (error) {
    process.emitWarning(`The harness could not be closed: ${messageOf(error)}`);
  }
}

/** Once more as long, for a setup that was given up and may still end. */
async function closeLate(opening: Promise<Bench>, seconds: number): Promise<void> {
  let bench: Bench;
  try {
    bench = await within(seconds * 1000, "the harness's setup", opening);
  } catch {
    // The check has said why there is no platform.
    return;
  }
  await closeQuietly(bench, seconds);
}

async function within<T>(
  milliseconds: number,
  what: string,
  work: Promise<T>,
  stop?: AbortSignal,
): Promise<T> {
  const limit = new AbortController();
  const signal = stop === undefined ? limit.signal : AbortSignal.any([limit.signal, stop]);
  const late = sleep(milliseconds, undefined, { signal }).then(
    () => {
      throw new Error(`${what} was not done after ${milliseconds / 1000} seconds`);
    },
    () => {
      throw new Error(`${what} was stopped: ${messageOf(stop?.reason)}`);
    },
  );
  late.catch(() => {});
  try {
    return await Promise.race([work, late]);
  } finally {
    limit.abort();
  }
}

function explain(error: unknown): string {
  if (error instanceof AssertionError) return error.message;
  if (isMillraceError(error)) return `${error.code}: ${error.message}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
