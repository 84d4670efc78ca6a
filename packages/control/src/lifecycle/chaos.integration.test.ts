import { type Deployer, type DeploymentRecord, isMillraceError } from "@millrace/core";
import type { Store } from "@millrace/store";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import type { DriverDependencies } from "./dependencies.ts";
import type { Driver } from "./driver.ts";
import { type Bed, type Fault, TestBed } from "./test-bed.fixture.ts";

const testBed = new TestBed();
afterAll(() => testBed.close());

const COMMANDS = ["deploy a", "deploy b", "deploy c", "refresh", "deprovision", "delete"] as const;
const ACCIDENTS = ["none", "lose process", "lose folder", "fall silent", "roll-outs fail"] as const;

interface Step {
  readonly command: (typeof COMMANDS)[number];
  /** What goes wrong with the calls to the platform, in turn. */
  readonly faults: readonly (Fault | "none")[];
  /** What happens behind our back before the command. */
  readonly accident: (typeof ACCIDENTS)[number];
  /** The process is killed at this call to the store or the deployer; null lets it live. */
  readonly killAt: number | null;
  /** The call that it is killed at is carried out before. */
  readonly carriedOut: boolean;
}

const FAULTS = ["throttled", "expired", "refused", "reply lost", "stale", "bug"] as const;

const steps: fc.Arbitrary<Step> = fc.record({
  command: fc.constantFrom(...COMMANDS),
  faults: fc
    .array(
      fc.oneof({ weight: 2, arbitrary: fc.constant("none" as const) }, fc.constantFrom(...FAULTS)),
      {
        maxLength: 8,
      },
    )
    // It takes three readings in a row to believe that nothing is there: no platform lags behind longer than that here.
    .filter((faults) => !/stale,(none,)*stale/.test(faults.join())),
  accident: fc.oneof(
    { weight: 3, arbitrary: fc.constant("none" as const) },
    fc.constantFrom(...ACCIDENTS),
  ),
  killAt: fc.option(fc.integer({ min: 1, max: 30 })),
  carriedOut: fc.boolean(),
});

/** Counts the calls of a process, and stops it at one of them for good. */
class Process {
  readonly killed: Promise<"killed">;
  readonly #kill: () => void;
  readonly #step: Step;
  #calls = 0;
  #dead = false;

  constructor(step: Step) {
    this.#step = step;
    const { promise, resolve } = Promise.withResolvers<"killed">();
    this.killed = promise;
    this.#kill = () => resolve("killed");
  }

  async through<T>(call: () => Promise<T>): Promise<T> {
    if (this.#dead) return this.#never();
    this.#calls += 1;
    if (this.#calls !== this.#step.killAt) return call();
    // The deployer's call needs the store's.
    if (this.#step.carriedOut) await call().catch(() => undefined);
    this.#dead = true;
    this.#kill();
    return this.#never();
  }

  #never(): Promise<never> {
    return new Promise(() => undefined);
  }

  /** The same object, whose methods die with the process. */
  mortal<T extends object>(target: T): T {
    return new Proxy(target, {
      get: (object, key) => {
        const member: unknown = Reflect.get(object, key);
        if (typeof member !== "function") return member;
        return (...args: unknown[]) => this.through(() => Reflect.apply(member, object, args));
      },
    });
  }
}

/** The whole process of one command: its store, and its deployer. */
function mortalDriver(bed: Bed, life: Process): Driver {
  const { store, deployerOf } = bed.dependencies;
  const dependencies: Partial<DriverDependencies> = {
    store: {
      ...store,
      deployments: life.mortal<Store["deployments"]>(store.deployments),
      operations: life.mortal<Store["operations"]>(store.operations),
      inventory: life.mortal<Store["inventory"]>(store.inventory),
      leases: life.mortal<Store["leases"]>(store.leases),
    },
    async deployerOf(record) {
      const { flavor, deployer } = await deployerOf(record);
      return { flavor, deployer: life.mortal<Deployer>(deployer) };
    },
  };
  return bed.driver(dependencies);
}

async function carryOut(
  bed: Bed,
  driver: Driver,
  command: Step["command"],
  record: DeploymentRecord,
) {
  const [what, letter = ""] = command.split(" ");
  const call = bed.call({ timeoutSeconds: 20 });
  if (what === "deploy") return driver.provision(await bed.provisionInput(letter, { call }));
  if (what === "refresh") return driver.refresh(record, call);
  if (what === "deprovision") return driver.deprovision(record, call);
  return driver.delete(record, false, call);
}

async function take(bed: Bed, step: Step): Promise<void> {
  const { platform } = bed;
  platform.rolloutsFail = step.accident === "roll-outs fail";
  if (step.accident === "lose process") platform.remove("process");
  if (step.accident === "lose folder") platform.remove("folder");
  if (step.accident === "fall silent") platform.healthy = false;
  platform.faults = step.faults.filter((fault) => fault !== "none");
  const record = await bed.recordOrNull();
  if (record === null) {
    await bed.createRecord();
    return;
  }
  const [before] = await bed.operations();
  const life = new Process(step);
  const done = carryOut(bed, mortalDriver(bed, life), step.command, record).then(
    () => "done" as const,
    (error: unknown) => {
      if (!isMillraceError(error)) throw error;
      return "failed" as const;
    },
  );
  const end = await Promise.race([done, life.killed]);
  if (end === "killed") await bed.holderDied();
  await checkInvariants(bed, end, before?.id);
}

async function checkInvariants(
  bed: Bed,
  end: "done" | "failed" | "killed",
  before: string | undefined,
): Promise<void> {
  const { platform } = bed;
  const record = await bed.recordOrNull();
  if (record === null) {
    // Deleted: nobody would ever find what is left.
    expect([...platform.resources]).toEqual([]);
    return;
  }
  if (record.snapshotId !== null) expect(platform.everServed).toContain(record.snapshotId);
  const inventory = await bed.inventory();
  for (const kind of platform.resources) expect(Object.keys(inventory)).toContain(kind);
  if (record.status === "ABSENT") expect([...platform.resources]).toEqual([]);
  const operations = await bed.operations();
  const running = operations.filter(({ outcome }) => outcome === "running");
  // What fails before it begins leaves the history as it was, with an operation that was killed.
  expect(running.length).toBeLessThanOrEqual(end === "done" ? 0 : 1);
  // What failed before it began, or was killed, has seen nothing.
  const hasSeen = end === "done" || (end === "failed" && operations[0]?.id !== before);
  if (hasSeen && record.status === "RUNNING") {
    expect(platform.serving?.snapshotId).toBe(record.snapshotId);
    expect(platform.serving?.revision).toBe(record.revision);
    expect(platform.answers).toBe(true);
  }
}

test("whatever happens, nothing is lost, nothing is claimed that is not so, and the next command heals it", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { minLength: 1, maxLength: 6 }), async (script) => {
      const bed = await testBed.bed();
      for (const step of script) await take(bed, step);
      const { platform } = bed;
      platform.faults = [];
      platform.rolloutsFail = false;
      if ((await bed.recordOrNull()) === null) await bed.createRecord();

      const { deployment } = await bed.deploy("z");
      expect(deployment.status).toBe("RUNNING");
      expect([...platform.resources].sort()).toEqual(["folder", "process"]);
      expect(await bed.inventory()).toEqual({ folder: "present", process: "present" });
      expect((await bed.operations()).filter(({ outcome }) => outcome === "running")).toEqual([]);

      expect((await bed.deprovision()).status).toBe("ABSENT");
      expect(platform.resources.size).toBe(0);
      expect(await bed.inventory()).toEqual({});
    }),
    { numRuns: 200 },
  );
}, 60_000);
