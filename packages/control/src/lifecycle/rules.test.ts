import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { mustBeFree, mustKeepStack, mustOwn, mustPass } from "./rules.ts";
import { type Bed, TestBed } from "./test-bed.fixture.ts";

const testBed = new TestBed();
afterAll(() => testBed.close());

let bed: Bed;
beforeEach(async () => {
  bed = await testBed.bed();
});

test("another user's deployment is changed only with the option that says so", async () => {
  const record = await bed.record();
  const { user } = bed.dependencies;
  const stranger = await bed.store.users.ensure("bob");
  mustOwn(record, user, false);
  mustOwn(record, stranger, true);
  expect(() => mustOwn(record, stranger, false)).toThrow(
    expect.objectContaining({
      class: "conflict",
      code: "NOT_OWNER",
      message: expect.stringContaining("belongs to ada"),
      action: expect.stringContaining("--overtake"),
    }),
  );
});

test("who overtakes a deployment owns it from then on", async () => {
  await bed.deploy("a");
  const user = await bed.store.users.ensure("bob");
  await bed.driver({ user }).provision(await bed.provisionInput("b"));
  expect((await bed.record()).userName).toBe("bob");
});

test("a deployment stays with its stack", async () => {
  const record = await bed.record();
  mustKeepStack(record, undefined);
  mustKeepStack(record, "default");
  expect(() => mustKeepStack(record, "other")).toThrow(
    expect.objectContaining({ class: "conflict", code: "STACK_MISMATCH" }),
  );
});

test("a snapshot has at most one deployment", async () => {
  await bed.deploy("a");
  const { id: projectId } = bed.dependencies.project;
  const snapshotId = await bed.snapshot("a");
  await mustBeFree(bed.store, projectId, snapshotId, await bed.record());
  const other = await (await testBed.bed()).record();
  await expect(mustBeFree(bed.store, projectId, snapshotId, other)).rejects.toMatchObject({
    class: "conflict",
    code: "SNAPSHOT_DEPLOYED",
    message: expect.stringContaining(`"${bed.name}"`),
  });
});

describe("a flavor's own rules", () => {
  test("are named when they are broken", () => {
    mustPass([], "test");
    expect(() => mustPass(["The name is too long."], "test")).toThrow(
      expect.objectContaining({
        class: "usage",
        code: "SETTINGS_REFUSED",
        message: expect.stringContaining("The name is too long."),
      }),
    );
  });

  test("are checked before the platform is called", async () => {
    const { flavor, deployer } = await bed.dependencies.deployerOf(await bed.record());
    const strict = { ...flavor, check: () => ["The name is too long."] };
    const driver = bed.driver({ deployerOf: async () => ({ flavor: strict, deployer }) });
    const refused = { code: "SETTINGS_REFUSED" };
    await expect(driver.plan(await bed.provisionInput("a"))).rejects.toMatchObject(refused);
    await expect(driver.provision(await bed.provisionInput("a"))).rejects.toMatchObject(refused);
    expect(bed.platform.calls).toEqual([]);
    expect((await bed.record()).status).toBe("ABSENT");
  });
});
