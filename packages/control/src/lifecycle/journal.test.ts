import { afterAll, beforeEach, expect, test } from "vitest";
import { makeJournal } from "./journal.ts";
import { type Bed, TestBed } from "./test-bed.fixture.ts";

const testBed = new TestBed();
afterAll(() => testBed.close());

let bed: Bed;
beforeEach(async () => {
  bed = await testBed.bed();
});

const disk = { kind: "disk", name: "d" };
const inventory = async () =>
  (await bed.store.inventory.list(bed.id)).map(({ state, platformId }) => [state, platformId]);

test("a resource is intended, present, and then gone", async () => {
  await bed.withLease(async (lease) => {
    const journal = makeJournal(bed.store, bed.id, lease);
    await journal.intend(disk);
    expect(await inventory()).toEqual([["intended", null]]);
    await journal.present(disk, "arn:1");
    expect(await inventory()).toEqual([["present", "arn:1"]]);
    await journal.gone(disk);
    expect(await inventory()).toEqual([]);
  });
});

test("a resource that is present is not forgotten when a deployer makes sure of it", async () => {
  await bed.withLease(async (lease) => {
    const journal = makeJournal(bed.store, bed.id, lease);
    await journal.present(disk, "arn:1");
    await journal.intend(disk);
    expect(await inventory()).toEqual([["present", "arn:1"]]);
  });
});

test("a resource that is missing is intended again, by the id that it had", async () => {
  await bed.withLease(async (lease) => {
    const entry = { ...disk, state: "missing", platformId: "arn:1" } as const;
    await bed.store.inventory.put(bed.id, entry, lease);
    await makeJournal(bed.store, bed.id, lease).intend(disk);
    expect(await inventory()).toEqual([["intended", "arn:1"]]);
  });
});

test("every write is refused once the lease is gone", async () => {
  const journal = await bed.withLease(async (lease) => makeJournal(bed.store, bed.id, lease));
  const lost = { code: "LEASE_LOST" };
  await expect(journal.intend(disk)).rejects.toMatchObject(lost);
  await expect(journal.present(disk)).rejects.toMatchObject(lost);
  await expect(journal.gone(disk)).rejects.toMatchObject(lost);
  expect(await inventory()).toEqual([]);
});
