import { afterAll, beforeEach, expect, test } from "vitest";
import { asItStands, lastProvision, previousSnapshot, unfinished } from "./history.ts";
import { thisProcess } from "./process-identity.ts";
import { type Bed, TestBed } from "./test-bed.fixture.ts";

const testBed = new TestBed();
afterAll(() => testBed.close());

let bed: Bed;
beforeEach(async () => {
  bed = await testBed.bed();
});

const previous = async () => previousSnapshot(bed.store, await bed.record());

async function deployFails(letter: string): Promise<void> {
  bed.platform.rolloutsFail = true;
  await expect(bed.deploy(letter)).rejects.toMatchObject({ code: "DEPLOY_FAILED" });
  bed.platform.rolloutsFail = false;
}

/** A deploy that times out, and that a refresh finds done. */
async function deployLate(letter: string): Promise<void> {
  bed.platform.stuck = true;
  const call = bed.call({ timeoutSeconds: 0.05 });
  await expect(bed.deploy(letter, { call })).rejects.toMatchObject({ class: "timeout" });
  bed.platform.stuck = false;
  await expect.poll(async () => (await bed.refresh()).status).toBe("RUNNING");
}

test("there is nothing before the first snapshot", async () => {
  await expect(previous()).rejects.toMatchObject({ class: "conflict", code: "ROLLBACK_NOTHING" });
  await bed.deploy("a");
  await expect(previous()).rejects.toMatchObject({ code: "ROLLBACK_NOTHING" });
});

test("the previous snapshot is the one that served before", async () => {
  await bed.deploy("a");
  await bed.deploy("b");
  expect(await previous()).toBe(await bed.snapshot("a"));
  await bed.deploy("c");
  expect(await previous()).toBe(await bed.snapshot("b"));
  await bed.deploy("b");
  expect(await previous()).toBe(await bed.snapshot("c"));
});

test("a rollback is recorded as one, and counts as what brought its snapshot into service", async () => {
  await bed.deploy("a");
  await bed.deploy("b");
  await bed.deploy("a", { kind: "rollback" });
  const [newest] = await bed.operations();
  expect(newest).toMatchObject({ kind: "rollback", snapshotId: await bed.snapshot("a") });
  expect(await previous()).toBe(await bed.snapshot("b"));
  expect(await lastProvision(bed.store, await bed.record(), await bed.snapshot("a"))).toEqual(
    newest,
  );
});

test("a snapshot that failed never served", async () => {
  await bed.deploy("a");
  await bed.deploy("b");
  await deployFails("c");
  expect(await previous()).toBe(await bed.snapshot("a"));
});

test("a snapshot that was late did serve", async () => {
  await bed.deploy("a");
  await deployLate("b");
  expect(await previous()).toBe(await bed.snapshot("a"));
  await bed.deploy("c");
  expect(await previous()).toBe(await bed.snapshot("b"));
});

test("it is found behind any number of other operations", async () => {
  await bed.deploy("a");
  await bed.deploy("b");
  const begin = {
    kind: "refresh",
    snapshotId: null,
    revision: null,
    previousSnapshotId: null,
  } as const;
  await bed.withLease(async (lease) => {
    for (let i = 0; i < 120; i++) {
      const operation = { ...begin, deploymentId: bed.id, userName: "ada", overrides: {} };
      const { id } = await bed.store.operations.begin(operation, {}, lease);
      await bed.store.operations.end(id, { outcome: "succeeded", error: null }, {}, lease);
    }
  });
  expect(await previous()).toBe(await bed.snapshot("a"));
});

test("what a snapshot was deployed with is that of its last success", async () => {
  await bed.deploy("a");
  const first = await lastProvision(bed.store, await bed.record(), await bed.snapshot("a"));
  expect(first?.overrides).toMatchObject({ environment: { LETTER: "a" } });
  await bed.deploy("b");
  await deployFails("a");
  const last = await lastProvision(bed.store, await bed.record(), await bed.snapshot("a"));
  expect(last?.id).toBe(first?.id);
  expect(await lastProvision(bed.store, await bed.record(), await bed.snapshot("z"))).toBeNull();
});

test("what a snapshot was deployed with is that of the operation that was late", async () => {
  await deployLate("a");
  const last = await lastProvision(bed.store, await bed.record(), await bed.snapshot("a"));
  expect(last).toMatchObject({ outcome: "timed_out", overrides: { environment: { LETTER: "a" } } });
});

test("what the snapshot that serves was deployed with is that of its revision, though another one succeeded", async () => {
  await bed.deploy("a");
  bed.platform.stuck = true;
  const call = bed.call({ timeoutSeconds: 0.05 });
  const input = await bed.provisionInput("a", { call });
  const withMore: typeof input.prepare = async (...given) => {
    const desired = await input.prepare(...given);
    const request = { ...desired.request, revision: "revision-more" };
    return { ...desired, request, overrides: { environment: { LETTER: "more" } } };
  };
  await expect(bed.driver().provision({ ...input, prepare: withMore })).rejects.toMatchObject({
    class: "timeout",
  });
  const last = async () => lastProvision(bed.store, await bed.record(), await bed.snapshot("a"));
  expect(await last()).toMatchObject({ overrides: { environment: { LETTER: "a" } } });
  bed.platform.stuck = false;
  await expect.poll(async () => (await bed.refresh()).revision).toBe("revision-more");
  expect(await last()).toMatchObject({ overrides: { environment: { LETTER: "more" } } });
});

test("only an operation that did not come to its end is unfinished", async () => {
  expect(await unfinished(bed.store, bed.id)).toEqual({ crashed: false, wanted: null });
  await bed.deploy("a");
  expect(await unfinished(bed.store, bed.id)).toEqual({ crashed: false, wanted: null });
  await deployFails("b");
  const wanted = {
    revision: "revision-b",
    snapshotId: await bed.snapshot("b"),
    authKeyHash: "hash-b",
  };
  expect(await unfinished(bed.store, bed.id)).toEqual({ crashed: false, wanted });
  await bed.deprovision();
  expect(await unfinished(bed.store, bed.id)).toEqual({ crashed: false, wanted: null });
});

/** An operation that is recorded as running, under a lease. */
async function began() {
  const holder = await thisProcess("deploy");
  const taken = await bed.store.leases.acquire(`deployment:${bed.id}`, holder, 60_000);
  if (!taken.acquired) throw new Error("It is held.");
  const begin = { kind: "deprovision", userName: "ada", overrides: {}, snapshotId: null } as const;
  const operation = await bed.store.operations.begin(
    { ...begin, deploymentId: bed.id, revision: null, previousSnapshotId: null },
    {},
    taken.lease,
  );
  return { operation, lease: taken.lease };
}

test("an operation is interrupted once the process that began it holds the lease no more", async () => {
  const { operation, lease } = await began();
  const outcome = async () => (await asItStands(bed.store, operation)).outcome;
  expect(await outcome()).toBe("running");
  const { leases } = bed.store;
  const dead = { ...lease.holder, processStart: "1" };
  await leases.takeOver(lease, dead, 60_000);
  expect(await outcome()).toBe("interrupted");
  const lost = { ...lease, token: lease.token + 1 };
  const later = { ...lease.holder, since: operation.startedAt + 1 };
  const next = await leases.takeOver(lost, later, 60_000);
  expect(next.acquired && (await outcome())).toBe("interrupted");
  if (next.acquired) await leases.release(next.lease);
  expect(await outcome()).toBe("interrupted");
});

test("an operation that ends while it is looked at is not interrupted", async () => {
  const { operation, lease } = await began();
  const { store } = bed;
  const leases: typeof store.leases = {
    ...store.leases,
    async find(name) {
      const end = { outcome: "succeeded", error: null } as const;
      await store.operations.end(operation.id, end, {}, lease);
      await store.leases.release(lease);
      return store.leases.find(name);
    },
  };
  const { operations } = store;
  expect((await asItStands({ operations, leases }, operation)).outcome).toBe("succeeded");
});

test("an operation that crashed stays unfinished after a refresh found so", async () => {
  await bed.deploy("a");
  bed.platform.stuck = true;
  await bed.withLease(async (lease) => {
    const { request, overrides } = bed.desired("b", await bed.snapshot("b"), {
      id: bed.id,
      name: bed.name,
      project: "default",
      inventory: [],
      metadata: {},
    });
    const begin = { kind: "provision", revision: request.revision, overrides } as const;
    const snapshotId = request.snapshot.id;
    await bed.store.operations.begin(
      { ...begin, deploymentId: bed.id, userName: "ada", snapshotId, previousSnapshotId: null },
      { status: "PENDING" },
      lease,
    );
  });
  expect(await unfinished(bed.store, bed.id)).toMatchObject({ crashed: true });
  await bed.refresh();
  expect((await bed.operations()).map(({ outcome }) => outcome)).toEqual([
    "succeeded",
    "abandoned",
    "succeeded",
  ]);
  expect(await unfinished(bed.store, bed.id)).toMatchObject({
    crashed: false,
    wanted: { revision: "revision-b", snapshotId: await bed.snapshot("b") },
  });
});
