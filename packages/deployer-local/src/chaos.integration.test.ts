import { rmSync } from "node:fs";
import { join } from "node:path";
import plugin from "@millrace/deployer-local";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { eventually, TestBed } from "./bed.fixture.ts";

let bed: TestBed;

beforeEach(async () => {
  bed = await TestBed.open(plugin);
});

afterEach(() => bed.close());

function killAll(what: RegExp): void {
  for (const { pid, command } of bed.processes()) {
    try {
      if (what.test(command)) process.kill(pid, "SIGKILL");
    } catch {
      // It ended between the two calls.
    }
  }
}

const actions: Record<string, () => Promise<unknown>> = {
  provision: () => bed.deployer.provision(bed.request({ revision: "1" }), bed.context()),
  update: () => bed.deployer.provision(bed.request({ revision: "2" }), bed.context()),
  "broken update": () =>
    bed.deployer.provision(
      bed.request({ revision: "3", environment: { BEHAVIOUR: "exit" } }),
      bed.context(),
    ),
  "two provisions": () => Promise.all([actions["provision"]?.(), actions["update"]?.()]),
  "kill the workers": async () => killAll(/fake-runtime/),
  "kill the supervisor": async () => killAll(/supervisor\.js/),
  "kill everything": async () => killAll(/./),
  "delete the socket": async () => rmSync(join(bed.folder, "control.sock"), { force: true }),
  "delete the folder": async () =>
    // The supervisor may be writing to it.
    rmSync(bed.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 5 }),
  deprovision: () => bed.deployer.deprovision(bed.target, bed.context()),
};

test("whatever happened before, a provision makes one healthy service, and a deprovision leaves nothing", async () => {
  const names = fc.array(fc.constantFrom(...Object.keys(actions)), { minLength: 1, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(names, async (sequence) => {
      for (const name of sequence) await actions[name]?.();
      const up = await bed.provision({ revision: "final" });
      expect(up).toMatchObject({ state: "running", serving: { revision: "final" } });
      const answer = await fetch(up.url ?? "", { headers: { connection: "close" } });
      expect(answer.status).toBe(200);
      await eventually(() => bed.processes().length === 2);
      await bed.deprovision();
      await eventually(() => bed.processes().length === 0);
    }),
    { numRuns: 15, endOnFailure: true },
  );
});
