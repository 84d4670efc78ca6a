import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { MillraceError } from "@millrace/core";
import { type LeaseHolder, type LeaseStore, openStore, type Store } from "@millrace/store";
import { afterAll, beforeAll, expect, test } from "vitest";
import { withLease, withSnapshotClaimed } from "./lease.ts";
import { isDead, processStart, thisProcess } from "./process-identity.ts";

const folder = mkdtempSync(join(tmpdir(), "millrace-lease-"));
const children: ChildProcess[] = [];
let store: Store;
let now = Date.now();
let made = 0;

beforeAll(async () => {
  store = await openStore({ url: join(folder, "millrace.db"), now: () => now });
});
afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await store.close();
  rmSync(folder, { recursive: true });
});

/** The store, with other answers where leases are asked for. */
const withLeases = (leases: Partial<LeaseStore>): Store => ({
  ...store,
  leases: { ...store.leases, ...leases },
});

const timing = { pollMs: 1, pollMaxMs: 1, healthTimeoutMs: 1, leaseTtlMs: 60_000 };
const one = () => ({ id: `id-${++made}`, name: "weather" });

function locked<T>(record: { id: string; name: string }, work: () => Promise<T>, more = timing) {
  return withLease({ store, timing: more }, record, "deploy", work);
}

async function heldBy(holder: LeaseHolder, ttlMs = 60_000) {
  const record = one();
  await store.leases.acquire(`deployment:${record.id}`, holder, ttlMs);
  return record;
}

async function living(): Promise<ChildProcess & { readonly pid: number }> {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
  children.push(child);
  await once(child, "spawn");
  if (child.pid === undefined) throw new Error("It has no id.");
  return Object.assign(child, { pid: child.pid });
}

test("one at a time: the other is told who, what for and since when", async () => {
  const record = one();
  await locked(record, async () => {
    await expect(locked(record, async () => "in")).rejects.toMatchObject({
      class: "conflict",
      code: "DEPLOYMENT_BUSY",
      retryable: true,
      message: expect.stringMatching(
        new RegExp(`"deploy weather" by process ${process.pid} on ${hostname()}, since .*Z\\.$`),
      ),
    });
  });
  expect(await locked(record, async () => "in")).toBe("in");
});

test("it is given back when the work fails", async () => {
  const record = one();
  await expect(locked(record, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(await locked(record, async () => "in")).toBe("in");
});

test("a killed process's lease is taken over at once", async () => {
  const child = await living();
  const processStartOfChild = await processStart(child.pid);
  if (processStartOfChild === null) throw new Error("It does not run.");
  const holder = {
    ...(await thisProcess("deploy weather")),
    pid: child.pid,
    processStart: processStartOfChild,
  };
  const record = await heldBy(holder);
  await expect(locked(record, async () => "in")).rejects.toMatchObject({ code: "DEPLOYMENT_BUSY" });
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(await locked(record, async () => "in")).toBe("in");
});

test("a process with the same id that began at another time is another one", async () => {
  const self = await thisProcess("deploy weather");
  expect(await isDead(self)).toBe(false);
  expect(await isDead({ ...self, processStart: "1" })).toBe(true);
});

test.each([
  ["another host", { host: "elsewhere" }],
  ["another boot or namespace on a host of the same name", { pidSpace: "another" }],
  ["a version that did not tell where it is", { pidSpace: undefined }],
])("the lease of %s is taken at its expiry, not before", async (_case, where) => {
  const holder = { ...(await thisProcess("deploy weather")), ...where, processStart: "1" };
  const record = await heldBy(holder);
  await expect(locked(record, async () => "in")).rejects.toMatchObject({ code: "DEPLOYMENT_BUSY" });
  now += 60_001;
  expect(await locked(record, async () => "in")).toBe("in");
});

test("it is renewed while the work goes on", async () => {
  const ends: number[] = [];
  const watched = withLeases({
    async renew(lease, ttlMs) {
      now += 10;
      const renewed = await store.leases.renew(lease, ttlMs);
      ends.push(renewed.expiresAt);
      return renewed;
    },
  });
  const short = { ...timing, leaseTtlMs: 30 };
  await withLease({ store: watched, timing: short }, one(), "deploy", async ({ lease }) => {
    await expect.poll(() => ends.length).toBeGreaterThan(2);
    expect([lease.expiresAt, ...ends]).toEqual([lease.expiresAt, ...ends].toSorted());
    expect(new Set([lease.expiresAt, ...ends]).size).toBe(ends.length + 1);
  });
});

test("its loss aborts the work", async () => {
  const record = one();
  const work = withLease(
    { store, timing: { ...timing, leaseTtlMs: 30 } },
    record,
    "deploy",
    async ({ lease, signal }) => {
      await store.leases.takeOver(lease, { ...lease.holder, purpose: "take" }, 60_000);
      if (!signal.aborted) await once(signal, "abort");
      throw signal.reason;
    },
  );
  await expect(work).rejects.toMatchObject({ code: "LEASE_LOST" });
});

test("a store that cannot be asked for longer than the lease lasts means its loss", async () => {
  const broken = withLeases({
    renew: () =>
      Promise.reject(
        new MillraceError({ class: "unreachable", code: "STORE_LOCKED", message: "Locked." }),
      ),
  });
  const work = withLease(
    { store: broken, timing: { ...timing, leaseTtlMs: 30 } },
    one(),
    "deploy",
    async ({ signal }) => {
      if (!signal.aborted) await once(signal, "abort");
      throw signal.reason;
    },
  );
  await expect(work).rejects.toMatchObject({
    code: "LEASE_LOST",
    message: expect.stringContaining("Locked."),
  });
});

test("a store that never answers means its loss, is asked for one renewal at a time, and keeps nobody", async () => {
  let asked = 0;
  const silent = withLeases({
    renew: () => {
      asked += 1;
      return new Promise(() => undefined);
    },
    release: () => new Promise(() => undefined),
  });
  const parts = { store: silent, timing: { ...timing, leaseTtlMs: 30 } };
  const work = withLease(parts, one(), "deploy", ({ signal }) =>
    withSnapshotClaimed(parts, { name: "weather", projectId: "p" }, "s", async () => {
      if (!signal.aborted) await once(signal, "abort");
      throw signal.reason;
    }),
  );
  await expect(work).rejects.toMatchObject({
    code: "LEASE_LOST",
    message: expect.stringContaining("does not answer"),
  });
  // Each of the two leases once.
  expect(asked).toBe(2);
});
