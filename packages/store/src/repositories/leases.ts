import { MillraceError } from "@millrace/core";
import type { Selectable, Transaction } from "kysely";
import { type Access, leaseLost } from "../access.ts";
import type { Database } from "../database.ts";
import { fromJsonColumn, toJsonColumn } from "../json-column.ts";
import type { Lease, LeaseAttempt, LeaseHolder, LeaseStore } from "../store.ts";

export function leaseRepository({ now, read, write }: Access): LeaseStore {
  return {
    acquire: (name, holder, ttlMs) =>
      write((transaction) => take(transaction, { name, holder, ttlMs, now: now(), dead: null })),
    takeOver: (current, holder, ttlMs) =>
      write((transaction) =>
        take(transaction, { name: current.name, holder, ttlMs, now: now(), dead: current.token }),
      ),
    find: (name) =>
      read(async (db) => {
        const row = await db
          .selectFrom("leases")
          .selectAll()
          .where("name", "=", name)
          .where("holder", "is not", null)
          .where("expiresAt", ">", now())
          .executeTakeFirst();
        return row === undefined ? null : toLease(row);
      }),
    renew: (lease, ttlMs) =>
      write(async (transaction) => {
        const row = await transaction
          .updateTable("leases")
          .set({ expiresAt: now() + ttlMs })
          .where("name", "=", lease.name)
          .where("token", "=", lease.token)
          .where("holder", "is not", null)
          .returningAll()
          .executeTakeFirst();
        if (row === undefined) throw leaseLost(lease);
        return { ...lease, expiresAt: row.expiresAt };
      }),
    release: (lease) =>
      write(async (transaction) => {
        await transaction
          .updateTable("leases")
          .set({ holder: null })
          .where("name", "=", lease.name)
          .where("token", "=", lease.token)
          .execute();
      }),
  };
}

interface Taking {
  readonly name: string;
  readonly holder: LeaseHolder;
  readonly ttlMs: number;
  readonly now: number;
  /** Token of a holder that is known to be dead. */
  readonly dead: number | null;
}

/** One statement, so that of several takers one wins in every database. */
async function take(transaction: Transaction<Database>, taking: Taking): Promise<LeaseAttempt> {
  const { name, holder, ttlMs, now, dead } = taking;
  const values = { holder: toJsonColumn(holder), expiresAt: now + ttlMs };
  const taken = await transaction
    .insertInto("leases")
    .values({ name, token: 1, ...values })
    .onConflict((conflict) =>
      conflict
        .column("name")
        .doUpdateSet((eb) => ({ ...values, token: eb("leases.token", "+", 1) }))
        .where((eb) =>
          eb.or([
            eb("leases.holder", "is", null),
            eb("leases.expiresAt", "<=", now),
            ...(dead === null ? [] : [eb("leases.token", "=", dead)]),
          ]),
        ),
    )
    .returningAll()
    .executeTakeFirst();
  if (taken !== undefined) return { acquired: true, lease: toLease(taken) };
  const current = await transaction
    .selectFrom("leases")
    .selectAll()
    .where("name", "=", name)
    .executeTakeFirstOrThrow();
  return { acquired: false, current: toLease(current) };
}

function toLease({ name, token, holder, expiresAt }: Selectable<Database["leases"]>): Lease {
  if (holder !== null) return { name, token, holder: fromJsonColumn(holder), expiresAt };
  throw new MillraceError({
    class: "conflict",
    code: "LEASE_CONTENDED",
    message: `The lease "${name}" was given back at the moment it was asked for.`,
    action: "Run the command again.",
    retryable: true,
  });
}
