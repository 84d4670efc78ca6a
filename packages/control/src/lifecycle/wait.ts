import {
  type Clock,
  type DeploymentRecord,
  type DeploymentStatus,
  isMillraceError,
  MillraceError,
} from "@millrace/core";
import type { Timing } from "../client.ts";
import { Bounds } from "./bounds.ts";
import type { Call } from "./dependencies.ts";
import { pollWaits } from "./retry.ts";

export interface Waiting {
  readonly clock: Clock;
  readonly timing: Timing;
  /** Asks the platform. */
  refresh(call: Call): Promise<DeploymentRecord>;
  /** What the record says. */
  read(): Promise<DeploymentRecord>;
}

/**
 * Refreshes until the status is reached.
 * @throws MillraceError `WAIT_TIMEOUT`; `WAIT_FAILED` at once when it is ERROR, or ABSENT with nobody at work on it, and
 * that is not wanted.
 */
export async function waitForStatus(
  { clock, timing, refresh, read }: Waiting,
  wanted: DeploymentStatus,
  call: Call,
): Promise<DeploymentRecord> {
  let record = await read();
  const bounds = new Bounds(clock, record.name, call, new AbortController().signal);
  const nextWait = pollWaits(timing);
  try {
    for (;;) {
      const seen = await refreshOrRead({ refresh, read }, { ...call, signal: bounds.signal });
      record = seen.record;
      if (record.status === wanted) return record;
      // What only the record says may be of before the operation that another process is about to begin.
      const isAbsent = record.status === "ABSENT" && seen.refreshed;
      if (record.status === "ERROR" || isAbsent) throw waitFailed(record, wanted);
      await clock.sleep(nextWait(), bounds.signal);
    }
  } catch (thrown) {
    if (bounds.ended === "timed_out") throw waitTimedOut(record, wanted, call.timeoutSeconds);
    if (bounds.ended === "aborted") throw waitStopped(record, wanted, thrown);
    throw bounds.explain(thrown);
  } finally {
    bounds.close();
  }
}

/** While another process works on it, or the platform cannot be asked, its record is what there is to see. */
async function refreshOrRead(
  { refresh, read }: Pick<Waiting, "refresh" | "read">,
  call: Call,
): Promise<{ readonly record: DeploymentRecord; readonly refreshed: boolean }> {
  try {
    return { record: await refresh(call), refreshed: true };
  } catch (error) {
    const expected =
      isMillraceError(error) && (error.code === "DEPLOYMENT_BUSY" || error.class === "unreachable");
    if (!expected) throw error;
    return { record: await read(), refreshed: false };
  }
}

function waitFailed(
  { name, status, statusReason, snapshotId }: DeploymentRecord,
  wanted: string,
): MillraceError {
  return new MillraceError({
    class: "platform",
    code: "WAIT_FAILED",
    message: `Deployment "${name}" is ${status} and does not become ${wanted} by itself: ${statusReason ?? "no reason is known."}`,
    action:
      snapshotId === null
        ? `Deploy it again, or see: npx millrace deployment describe ${name}`
        : `Bring it back: npx millrace deployment provision ${name}`,
  });
}

/** Who only waits leaves nothing behind that could be picked up. */
function waitStopped(
  { name, status }: DeploymentRecord,
  wanted: string,
  cause: unknown,
): MillraceError {
  return new MillraceError({
    class: "aborted",
    code: "ABORTED",
    message: `Nobody waits any more for deployment "${name}" to become ${wanted}: it is ${status}.`,
    action: `Wait on with the same command, or look at \`npx millrace deployment describe ${name}\`.`,
    cause,
  });
}

function waitTimedOut(
  { name, status }: DeploymentRecord,
  wanted: string,
  seconds: number,
): MillraceError {
  return new MillraceError({
    class: "timeout",
    code: "WAIT_TIMEOUT",
    message: `Deployment "${name}" is ${status} and was not ${wanted} within ${seconds} s.`,
    action: `Wait longer with --timeout, or look at \`npx millrace deployment describe ${name}\`.`,
    retryable: true,
  });
}
