import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import plugin from "@millrace/deployer-local";
import { afterEach, beforeEach, expect, test } from "vitest";
import { isRunning, supervisorPid, TestBed } from "./bed.fixture.ts";

const SCRIPT = fileURLToPath(new URL("../fixtures/provision-and-die.js", import.meta.url));

let bed: TestBed;

beforeEach(async () => {
  bed = await TestBed.open(plugin);
});

afterEach(() => bed.close());

/** Provisions in a process that is killed at a call of the journal, or after a time. */
async function provisionAndDie(revision: string, death: object): Promise<void> {
  const child = spawn(process.execPath, [SCRIPT], { stdio: ["pipe", "ignore", "inherit"] });
  const { stateDirectory } = bed;
  const request = bed.request({ revision });
  child.stdin.end(JSON.stringify({ stateDirectory, request, ...death }));
  const [, signal] = await once(child, "exit");
  expect(signal).toBe("SIGKILL");
}

/** The next provision brings one healthy service, and deprovision ends everything. */
async function expectHealed(revision: string): Promise<void> {
  const up = await bed.provision({ revision });
  expect(up).toMatchObject({ state: "running", serving: { revision } });
  const workers = await bed.until(
    ({ metadata }) => Array.isArray(metadata["workers"]) && metadata["workers"].length === 1,
  );
  expect(await bed.deprovision()).toMatchObject({ state: "absent" });
  expect(isRunning(supervisorPid(workers))).toBe(false);
}

test.each([1, 2, 3, 4])(
  "a first provision killed at call %i of the journal is healed",
  async (fatalCall) => {
    await provisionAndDie("1", { fatalCall });
    await expectHealed("1");
  },
);

test.each([1, 2, 3, 4])(
  "an update killed at call %i of the journal is healed",
  async (fatalCall) => {
    const before = await bed.provision();
    await provisionAndDie("2", { fatalCall });
    expect((await bed.inspect()).state).toBe("running");
    const after = await bed.provision({ revision: "2" });
    expect(after.url).toBe(before.url);
    await expectHealed("2");
  },
);

test.each([60, 90, 120, 150])("a first provision killed after %i ms is healed", async (afterMs) => {
  await provisionAndDie("1", { afterMs });
  await expectHealed("1");
});

test("a supervisor that nobody hands a revision ends by itself and leaves nothing", async () => {
  await provisionAndDie("1", { waiting: true });
  const idle = await bed.until(({ state }) => state !== "absent");
  expect(idle).toMatchObject({ serving: null, rollout: null });
  await bed.until(({ state }) => state === "absent");
});

test("a supervisor that does not answer makes the platform unreachable, and nothing else", async () => {
  const before = await bed.provision();
  process.kill(supervisorPid(before), "SIGSTOP");
  try {
    await expect(bed.inspect()).rejects.toMatchObject({ class: "unreachable", retryable: true });
    expect((await fetch(before.url ?? "")).status).toBe(200);
  } finally {
    process.kill(supervisorPid(before), "SIGCONT");
  }
  expect(await bed.inspect()).toMatchObject({ state: "running", serving: { revision: "1" } });
});
