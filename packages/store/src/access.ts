import { setTimeout as sleep } from "node:timers/promises";
import { MillraceError } from "@millrace/core";
import type { Kysely, Transaction } from "kysely";
import type { Database } from "./database.ts";
import type { StoreDialect } from "./dialect.ts";
import type { Lease } from "./store.ts";

/** How repositories reach the database: errors are translated, writes are transactions that wait their turn. */
export interface Access {
  readonly now: () => number;
  readonly newId: () => string;
  /** See `StoreDialect`. */
  readonly lateral: boolean;
  read<T>(query: (db: Kysely<Database>) => Promise<T>): Promise<T>;
  /** One transaction. It may run more than once when another process is in the way. */
  write<T>(work: (transaction: Transaction<Database>) => Promise<T>): Promise<T>;
  /** One transaction that writes only while the lease is held. @throws MillraceError `LEASE_LOST` */
  guarded<T>(lease: Lease, work: (transaction: Transaction<Database>) => Promise<T>): Promise<T>;
}

export interface AccessOptions {
  readonly db: Kysely<Database>;
  readonly dialect: StoreDialect;
  readonly now: () => number;
  readonly newId: () => string;
  readonly lockTimeoutMs: number;
}

export function createAccess({ db, dialect, now, newId, lockTimeoutMs }: AccessOptions): Access {
  const translated = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (thrown) {
      throw dialect.translate(thrown) ?? thrown;
    }
  };
  const write: Access["write"] = (work) =>
    translated(() =>
      retrying(dialect, lockTimeoutMs, () =>
        db.transaction().execute((transaction) => work(transaction)),
      ),
    );
  return {
    now,
    newId,
    lateral: dialect.lateral,
    read: (query) => translated(() => retrying(dialect, lockTimeoutMs, () => query(db))),
    write,
    guarded: (lease, work) =>
      write(async (transaction) => {
        await requireLease(transaction, lease);
        return work(transaction);
      }),
  };
}

/** Tries again with growing, random pauses until the time is over. */
export async function retrying<T>(
  dialect: StoreDialect,
  timeoutMs: number,
  attempt: () => Promise<T>,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (let pauseMs = 2; ; pauseMs = Math.min(pauseMs * 2, 50)) {
    try {
      return await attempt();
    } catch (thrown) {
      if (!dialect.isRetryable(thrown) || performance.now() >= deadline) throw thrown;
    }
    await sleep(pauseMs * (0.5 + Math.random()));
  }
}

/** An update that changes nothing: it locks the row in every database until the transaction ends. */
async function requireLease(transaction: Transaction<Database>, lease: Lease): Promise<void> {
  const result = await transaction
    .updateTable("leases")
    .set({ token: lease.token })
    .where("name", "=", lease.name)
    .where("token", "=", lease.token)
    .where("holder", "is not", null)
    .executeTakeFirst();
  if (result.numUpdatedRows === 0n) throw leaseLost(lease);
}

export function leaseLost(lease: Lease): MillraceError {
  return new MillraceError({
    class: "conflict",
    code: "LEASE_LOST",
    message: `The lease "${lease.name}" of "${lease.holder.purpose}" was taken over by another process.`,
    action: "Nothing was written. See what the other process does, then run the command again.",
    details: { lease: lease.name, token: lease.token },
  });
}
