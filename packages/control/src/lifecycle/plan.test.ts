import { afterAll, beforeEach, expect, test } from "vitest";
import { type Bed, TestBed } from "./test-bed.fixture.ts";

const testBed = new TestBed();
afterAll(() => testBed.close());

let bed: Bed;
beforeEach(async () => {
  bed = await testBed.bed();
});

const plan = async (letter: string) => bed.driver().plan(await bed.provisionInput(letter));

test("it says what provision would do, and changes nothing", async () => {
  expect(await plan("a")).toMatchObject({
    action: "create",
    deployment: bed.name,
    exists: false,
    snapshot: { from: null, to: await bed.snapshot("a") },
  });
  expect(bed.platform.resources.size).toBe(0);
  await bed.deploy("a");
  const before = await bed.record();
  expect(await plan("b")).toMatchObject({
    action: "update",
    exists: true,
    snapshot: { from: await bed.snapshot("a"), to: await bed.snapshot("b") },
  });
  expect(await plan("a")).toMatchObject({ action: "no-op" });
  expect(await bed.record()).toEqual(before);
});

test("it says which operation a deploy goes on with, and so does the deploy", async () => {
  await bed.deploy("a");
  const { platform } = bed;
  const inspect = platform.inspect.bind(platform);
  platform.inspect = async (context) => {
    const observation = await inspect(context);
    if (platform.rollout?.phase === "complete") await bed.holderDied();
    return observation;
  };
  await expect(bed.deploy("b")).rejects.toMatchObject({ code: "LEASE_LOST" });
  platform.inspect = inspect;
  const interrupted = { kind: "provision", outcome: "interrupted" };
  expect(await plan("b")).toMatchObject({ action: "no-op", picksUp: interrupted });
  expect((await plan("a")).picksUp).toBeNull();
  const before = (await bed.operations())[0]?.startedAt ?? 0;
  await expect.poll(() => Date.now()).toBeGreaterThan(before);
  expect((await bed.deploy("b")).plan.picksUp).toMatchObject(interrupted);
  expect((await plan("b")).picksUp).toBeNull();
});

test("an operation that goes on is not picked up", async () => {
  const { platform } = bed;
  const provision = platform.provision.bind(platform);
  let seen: unknown;
  platform.provision = async (...given) => {
    seen = (await plan("a")).picksUp;
    return provision(...given);
  };
  await bed.deploy("a");
  expect(seen).toBeNull();
});

test("it is made while another process works on the deployment", async () => {
  await bed.withLease(async () => {
    expect(await plan("a")).toMatchObject({ action: "create" });
  });
});

test("it gives up on a platform that cannot be reached with what the platform says", async () => {
  bed.platform.faults = Array.from({ length: 10_000 }, () => "throttled" as const);
  const call = bed.call({ timeoutSeconds: 0.2 });
  await expect(bed.driver().plan(await bed.provisionInput("a", { call }))).rejects.toMatchObject({
    class: "unreachable",
  });
});

test("it waits out a platform that is throttled, and ends at its deadline", async () => {
  bed.platform.faults = ["throttled", "throttled"];
  expect(await plan("a")).toMatchObject({ action: "create" });
  bed.platform.hangs = true;
  const call = bed.call({ timeoutSeconds: 0.05 });
  await expect(bed.driver().plan(await bed.provisionInput("a", { call }))).rejects.toMatchObject({
    class: "timeout",
    code: "OPERATION_TIMED_OUT",
  });
});
