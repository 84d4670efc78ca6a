import { type DeploymentRecord, isMillraceError, MillraceError } from "@millrace/core";
import type { Lease, LeaseHolder, LeaseStore } from "@millrace/store";
import type { DriverDependencies } from "./dependencies.ts";
import { isDead, thisProcess } from "./process-identity.ts";

/** A lease that is renewed while the work goes on. */
export interface HeldLease {
  readonly lease: Lease;
  /** Aborts with `LEASE_LOST` when another process took the lease. */
  readonly signal: AbortSignal;
}

/**
 * Runs the work while holding the lease on a deployment, and gives it back at the end. A lease whose holder is dead is
 * taken over.
 * @throws MillraceError `DEPLOYMENT_BUSY` when a living process holds it.
 */
export async function withLease<T>(
  { store, timing }: Pick<DriverDependencies, "store" | "timing">,
  record: Pick<DeploymentRecord, "id" | "name">,
  purpose: string,
  work: (held: HeldLease) => Promise<T>,
): Promise<T> {
  const ttl = timing.leaseTtlMs;
  const holder = await thisProcess(`${purpose} ${record.name}`);
  const lease = await take(store.leases, `deployment:${record.id}`, holder, ttl, record.name);
  const lost = new AbortController();
  const heartbeat = setInterval(() => {
    store.leases.renew(lease, ttl).catch((error: unknown) => {
      // A store that is busy for a moment is asked again at the next beat; only a lost lease ends the work.
      if (isMillraceError(error) && error.code === "LEASE_LOST") lost.abort(error);
    });
  }, ttl / 3);
  try {
    return await work({ lease, signal: lost.signal });
  } finally {
    clearInterval(heartbeat);
    await store.leases.release(lease);
  }
}

async function take(
  leases: LeaseStore,
  name: string,
  holder: LeaseHolder,
  ttl: number,
  deployment: string,
): Promise<Lease> {
  let attempt = await leases.acquire(name, holder, ttl);
  if (!attempt.acquired && (await isDead(attempt.current.holder))) {
    attempt = await leases.takeOver(attempt.current, holder, ttl);
  }
  if (attempt.acquired) return attempt.lease;
  const { current } = attempt;
  throw new MillraceError({
    class: "conflict",
    code: "DEPLOYMENT_BUSY",
    message: `Another operation works on deployment "${deployment}": "${current.holder.purpose}", process ${current.holder.pid} on ${current.holder.host}.`,
    action: `Wait until it is done and try again. If that process is gone, its claim ends by itself at ${new Date(current.expiresAt).toISOString()}.`,
    retryable: true,
    details: { holder: current.holder, expiresAt: current.expiresAt },
  });
}
