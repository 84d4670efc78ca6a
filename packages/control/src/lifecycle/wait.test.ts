import { type DeploymentStatus, MillraceError } from "@millrace/core";
import { afterAll, beforeEach, expect, test } from "vitest";
import type { Call } from "./dependencies.ts";
import { type Bed, TestBed } from "./test-bed.fixture.ts";
import { waitForStatus } from "./wait.ts";

const testBed = new TestBed();
afterAll(() => testBed.close());

let bed: Bed;
beforeEach(async () => {
  bed = await testBed.bed();
});

function waiting(
  wanted: DeploymentStatus,
  call: Call = bed.call(),
  refresh = bed.refresh.bind(bed),
) {
  const { clock, timing } = bed.dependencies;
  return waitForStatus({ clock, timing, refresh, read: () => bed.record() }, wanted, call);
}

test("it ends when the status is reached", async () => {
  bed.platform.stuck = true;
  const call = bed.call({ timeoutSeconds: 0.05 });
  await expect(bed.deploy("a", { call })).rejects.toMatchObject({ class: "timeout" });
  let refreshes = 0;
  const refresh = async (one: Call) => {
    if (++refreshes === 3) bed.platform.stuck = false;
    return bed.refresh(one);
  };
  expect((await waiting("RUNNING", bed.call(), refresh)).status).toBe("RUNNING");
  // A wait that looks often leaves no trace of each look.
  expect(await bed.operations()).toHaveLength(2);
});

test("it ends at once with ERROR, unless that is what is waited for", async () => {
  await bed.deploy("a");
  bed.platform.remove("process");
  await expect(waiting("RUNNING")).rejects.toMatchObject({
    class: "platform",
    code: "WAIT_FAILED",
    message: expect.stringContaining("The process ended with 1."),
  });
  expect((await waiting("ERROR")).status).toBe("ERROR");
});

test("it ends at once with ABSENT where nothing works on it, and names what brings it back", async () => {
  await bed.deploy("a");
  await bed.deprovision();
  await expect(waiting("RUNNING")).rejects.toMatchObject({
    class: "platform",
    code: "WAIT_FAILED",
    message: expect.stringContaining("is ABSENT and does not become RUNNING by itself"),
    action: `Bring it back: npx millrace deployment provision ${bed.name}`,
  });
});

test("it ends at its deadline", async () => {
  await bed.deploy("a");
  await expect(waiting("ABSENT", bed.call({ timeoutSeconds: 0.05 }))).rejects.toMatchObject({
    class: "timeout",
    code: "WAIT_TIMEOUT",
    message: expect.stringContaining("is RUNNING and was not ABSENT within 0.05 s."),
  });
  expect((await bed.record()).status).toBe("RUNNING");
});

test("it ends when the caller stops it", async () => {
  await bed.deploy("a");
  const call = bed.call({ signal: AbortSignal.timeout(20) });
  await expect(waiting("ABSENT", call)).rejects.toMatchObject({
    class: "aborted",
    code: "ABORTED",
    message: expect.stringContaining("to become ABSENT: it is RUNNING."),
    action: expect.not.stringContaining("refresh"),
  });
});

test.each([
  ["conflict", "DEPLOYMENT_BUSY"],
  ["unreachable", "TEST_EXPIRED"],
] as const)("it goes by the record while a refresh meets: %s", async (errorClass, code) => {
  let refreshes = 0;
  const refresh = async (one: Call) => {
    if (++refreshes === 3) await bed.deploy("a");
    if (refreshes <= 3) throw new MillraceError({ class: errorClass, code, message: "Not now." });
    return bed.refresh(one);
  };
  expect((await waiting("RUNNING", bed.call(), refresh)).status).toBe("RUNNING");
  expect(refreshes).toBe(3);
});

test("it ends when the deployment is deleted", async () => {
  await bed.deploy("a");
  const refresh = async (one: Call) => {
    await bed.driver().delete(await bed.record(), false, one);
    return bed.record();
  };
  await expect(waiting("ABSENT", bed.call(), refresh)).rejects.toThrow("is gone");
});
