import {
  type DeploymentRecord,
  isMillraceError,
  MillraceError,
  toMillraceError,
} from "@millrace/core";
import type { Lease, LeaseAttempt, LeaseHolder, LeaseStore, Store } from "@millrace/store";
import type { DriverDependencies } from "./dependencies.ts";
import { isDead, thisProcess } from "./process-identity.ts";

/** A lease that is renewed while the work goes on. */
export interface HeldLease {
  readonly lease: Lease;
  /** Aborts with `LEASE_LOST` when another process took the lease, or may have taken it. */
  readonly signal: AbortSignal;
}

type Parts = Pick<DriverDependencies, "store" | "timing">;

/**
 * Runs the work while holding the lease on a deployment, and gives it back at the end. A lease whose holder is dead is
 * taken over.
 * @throws MillraceError `DEPLOYMENT_BUSY` when a living process holds it.
 */
export function withLease<T>(
  parts: Parts,
  record: Pick<DeploymentRecord, "id" | "name">,
  purpose: string,
  work: (held: HeldLease) => Promise<T>,
): Promise<T> {
  const doing = `${purpose} ${record.name}`;
  return holding(parts, leaseOf(record.id), doing, work, (current) => busy(record.name, current));
}

function leaseOf(deploymentId: string): string {
  return `deployment:${deploymentId}`;
}

/** Who works on a deployment, by a look at its lease; null when nobody does, or only a process that is dead. */
export async function holderOf(
  { leases }: Pick<Store, "leases">,
  deploymentId: string,
): Promise<LeaseHolder | null> {
  const lease = await leases.find(leaseOf(deploymentId));
  return lease === null || (await isDead(lease.holder)) ? null : lease.holder;
}

/**
 * Runs the work while nobody else can deploy the snapshot under another name: of two that would, one hears of the other
 * before anything is started.
 * @throws MillraceError `SNAPSHOT_DEPLOYED` when a living process deploys it.
 */
export function withSnapshotClaimed<T>(
  parts: Parts,
  { name, projectId }: Pick<DeploymentRecord, "name" | "projectId">,
  snapshotId: string,
  work: () => Promise<T>,
): Promise<T> {
  return holding(parts, `snapshot:${projectId}:${snapshotId}`, name, work, claimed);
}

async function holding<T>(
  { store: { leases }, timing: { leaseTtlMs } }: Parts,
  name: string,
  purpose: string,
  work: (held: HeldLease) => Promise<T>,
  refuse: (current: Lease) => MillraceError,
): Promise<T> {
  const lease = await take(leases, name, await thisProcess(purpose), leaseTtlMs, refuse);
  const heartbeat = startHeartbeat(leases, lease, leaseTtlMs);
  try {
    return await work({ lease, signal: heartbeat.lost });
  } finally {
    await heartbeat.end();
  }
}

/**
 * Renews the lease, and tells when it is lost: when another process has it, or may have it because no renewal that was
 * asked for within its duration is known to have succeeded.
 */
function startHeartbeat(leases: LeaseStore, lease: Lease, ttlMs: number) {
  const lost = new AbortController();
  let endsAt = performance.now() + ttlMs;
  let isRenewing = false;
  let failure: MillraceError | undefined;
  const beat = setInterval(async () => {
    if (isRenewing) return;
    isRenewing = true;
    const askedAt = performance.now();
    try {
      await leases.renew(lease, ttlMs);
      endsAt = askedAt + ttlMs;
      failure = undefined;
    } catch (thrown) {
      // A store that is busy is asked again at the next beat.
      failure = toMillraceError(thrown);
      if (failure.code === "LEASE_LOST") lost.abort(failure);
    }
    isRenewing = false;
  }, ttlMs / 3);
  // Apart from the beats: a renewal that hangs says nothing at all.
  const over = Promise.withResolvers<void>();
  let expiry = setTimeout(watchExpiry, ttlMs);
  function watchExpiry(): void {
    const left = endsAt - performance.now();
    if (left > 0) {
      expiry = setTimeout(watchExpiry, left);
      return;
    }
    lost.abort(expired(lease, failure));
    over.resolve();
  }
  /** Gives the lease back. What the work came to is what counts: a lease that cannot be given back ends by itself. */
  async function end(): Promise<void> {
    clearInterval(beat);
    await Promise.race([leases.release(lease), over.promise]).catch(() => undefined);
    clearTimeout(expiry);
  }
  return { lost: lost.signal, end };
}

async function take(
  leases: LeaseStore,
  name: string,
  holder: LeaseHolder,
  ttlMs: number,
  refuse: (current: Lease) => MillraceError,
): Promise<Lease> {
  let attempt = await attemptUntilClear(() => leases.acquire(name, holder, ttlMs));
  if (!attempt.acquired && (await isDead(attempt.current.holder))) {
    const { current } = attempt;
    attempt = await attemptUntilClear(() => leases.takeOver(current, holder, ttlMs));
  }
  if (attempt.acquired) return attempt.lease;
  throw refuse(attempt.current);
}

/** A lease that was given back at the moment it was asked for has no holder to name: asking again takes it. */
async function attemptUntilClear(attempt: () => Promise<LeaseAttempt>): Promise<LeaseAttempt> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!isMillraceError(error) || error.code !== "LEASE_CONTENDED") throw error;
    }
  }
}

function busy(deployment: string, { holder, expiresAt }: Lease): MillraceError {
  return new MillraceError({
    class: "conflict",
    code: "DEPLOYMENT_BUSY",
    message: `Another operation works on deployment "${deployment}": "${holder.purpose}" by process ${holder.pid} on ${holder.host}, since ${new Date(holder.since).toISOString()}.`,
    action: `Wait until it is done and try again. If that process is gone, its claim ends by itself at ${new Date(expiresAt).toISOString()}.`,
    retryable: true,
    details: { holder, expiresAt },
  });
}

/** The purpose of the claim is the name that the snapshot is deployed under. */
function claimed({ holder }: Lease): MillraceError {
  return new MillraceError({
    class: "conflict",
    code: "SNAPSHOT_DEPLOYED",
    message: `This snapshot is just being deployed as "${holder.purpose}", and a snapshot has at most one deployment.`,
    action: `Wait for that one: npx millrace deployment wait ${holder.purpose}`,
    details: { deployment: holder.purpose },
  });
}

function expired({ name }: Lease, cause: MillraceError | undefined): MillraceError {
  return new MillraceError({
    class: "conflict",
    code: "LEASE_LOST",
    message: `The lease "${name}" could not be renewed before it expired: ${cause?.message ?? "the store does not answer."}`,
    action: "Run the command again once the store can be reached.",
    cause,
  });
}
