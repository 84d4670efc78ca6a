import { type Clock, isMillraceError, MillraceError } from "@millrace/core";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "./clock.ts";
import type { Desired } from "./dependencies.ts";
import { type Bed, TestBed } from "./test-bed.fixture.ts";

const testBed = new TestBed();
afterAll(() => testBed.close());

let bed: Bed;
beforeEach(async () => {
  bed = await testBed.bed();
});

async function failureOf(work: Promise<unknown>): Promise<MillraceError> {
  const thrown: unknown = await work.then(
    () => new Error("It did not fail."),
    (error: unknown) => error,
  );
  if (isMillraceError(thrown)) return thrown;
  throw thrown;
}

async function history(): Promise<string[]> {
  return (await bed.operations()).map(({ kind, outcome }) => `${kind} ${outcome}`);
}

describe("provision", () => {
  test("polls until the wanted revision serves, and only then moves the record", async () => {
    bed.platform.rolloutReads = 4;
    const { deployment, operation } = await bed.deploy("a");
    expect(deployment).toMatchObject({
      status: "RUNNING",
      statusReason: null,
      snapshotId: await bed.snapshot("a"),
      revision: "revision-a",
      url: bed.platform.url,
      authKeyHash: "hash-a",
      metadata: { process: 42 },
    });
    expect(operation).toMatchObject({ kind: "provision", outcome: "succeeded", error: null });
    expect(bed.platform.calls.filter((call) => call === "inspect")).toHaveLength(4);
    expect(await bed.inventory()).toEqual({ folder: "present", process: "present" });
  });

  test("is PENDING while it goes on", async () => {
    const { platform } = bed;
    const provision = platform.provision.bind(platform);
    platform.provision = async (request, context) => {
      expect((await bed.record()).status).toBe("PENDING");
      expect(await history()).toEqual(["provision running"]);
      return provision(request, context);
    };
    await bed.deploy("a");
    expect(platform.calls).toContain("provision");
  });

  test("does and records nothing when the revision serves and is healthy", async () => {
    await bed.deploy("a");
    bed.platform.calls = [];
    const { operation, plan } = await bed.deploy("a");
    expect(operation).toBeNull();
    expect(plan.action).toBe("no-op");
    expect(bed.platform.calls).toEqual(["plan", "inspect"]);
    expect(await history()).toEqual(["provision succeeded"]);
  });

  test("goes to the platform when the plan is no-op and the service is not healthy", async () => {
    await bed.deploy("a");
    bed.platform.healthy = false;
    const { operation, deployment } = await bed.deploy("a");
    expect(operation?.outcome).toBe("succeeded");
    expect(deployment.status).toBe("RUNNING");
    expect(bed.platform.healthy).toBe(true);
  });

  test("asks with the plan before anything changes, and stops at no", async () => {
    await bed.deploy("a");
    bed.platform.calls = [];
    const asked: unknown[] = [];
    const confirm = (plan: unknown) => {
      asked.push(plan);
      return false;
    };
    expect((await failureOf(bed.deploy("b", { confirm }))).code).toBe("DEPLOY_DECLINED");
    expect(asked).toMatchObject([
      {
        action: "update",
        snapshot: { from: await bed.snapshot("a"), to: await bed.snapshot("b") },
      },
    ]);
    expect(bed.platform.calls).toEqual(["plan"]);
    expect(await bed.record()).toMatchObject({
      status: "RUNNING",
      snapshotId: await bed.snapshot("a"),
    });
  });

  test("keeps a new key once the plan was confirmed, and before anything is started", async () => {
    const told: string[] = [];
    const keepAuthKey = async () => {
      told.push(`kept, ${(await history()).length} operations`);
    };
    const confirm = (answer: boolean) => () => {
      told.push(answer ? "yes" : "no");
      return answer;
    };
    await failureOf(bed.deploy("a", { keepAuthKey, confirm: confirm(false) }));
    await bed.deploy("a", { keepAuthKey, confirm: confirm(true) });
    expect(told).toEqual(["no", "yes", "kept, 0 operations"]);
  });

  test("keeps a key that was lost here when the revision serves already", async () => {
    await bed.deploy("a");
    let isKept = false;
    const keepAuthKey = async () => {
      isKept = true;
    };
    expect((await bed.deploy("a", { keepAuthKey })).operation).toBeNull();
    expect(isKept).toBe(true);
  });

  test("has no deadline while the user is asked, and a whole one afterwards", async () => {
    const deadlines: AbortSignal[] = [];
    const clock: Clock = {
      now: systemClock.now,
      sleep(milliseconds, signal) {
        if (milliseconds === 77_000) deadlines.push(signal);
        return systemClock.sleep(milliseconds, signal);
      },
    };
    const confirm = () => {
      expect(deadlines.map(({ aborted }) => aborted)).toEqual([true]);
      return true;
    };
    const input = await bed.provisionInput("a", {
      confirm,
      call: bed.call({ timeoutSeconds: 77 }),
    });
    await bed.driver({ clock }).provision(input);
    expect(deadlines).toHaveLength(2);
  });

  test("removes a record that was made for it when nothing was started", async () => {
    bed.platform.faults = ["expired"];
    const input = await bed.provisionInput("a");
    expect((await failureOf(bed.driver().provision({ ...input, created: true }))).code).toBe(
      "TEST_EXPIRED",
    );
    await expect(bed.record()).rejects.toThrow("is gone");
  });

  test("keeps a record that it made when somebody else has used it since", async () => {
    const input = await bed.provisionInput("b");
    await bed.deploy("a");
    bed.platform.faults = ["expired"];
    await failureOf(bed.driver().provision({ ...input, created: true }));
    expect((await bed.record()).snapshotId).toBe(await bed.snapshot("a"));
  });

  test("tries again while the platform is throttled, and after a reply was lost", async () => {
    bed.platform.faults = ["throttled", "reply lost", "throttled", "reply lost"];
    expect((await bed.deploy("a")).deployment.status).toBe("RUNNING");
    expect(bed.told).toContainEqual(
      expect.stringMatching(/^Too many calls\. Wait\. Trying again for \d+ s at most\.$/),
    );
  });

  test("delivers the artefact before the platform is asked, again while that cannot be done, with a journal", async () => {
    const calls: string[][] = [];
    const deliver: Desired["deliver"] = async ({ journal }) => {
      calls.push([...bed.platform.calls]);
      await journal.intend({ kind: "image", name: "delivered" });
      if (calls.length === 1)
        throw new MillraceError({
          class: "unreachable",
          code: "REGISTRY_BUSY",
          message: "Too many calls.",
          retryable: true,
        });
    };
    await bed.deploy("a", { deliver });
    expect(calls).toEqual([["plan"], ["plan"]]);
    expect((await bed.store.inventory.list(bed.id)).map(({ name }) => name)).toContain("delivered");
  });

  test("does not send anybody to the log of a service that never was", async () => {
    const refusal = { class: "platform", code: "PUSH_REFUSED", message: "It refuses." } as const;
    const refuse = (action?: string) =>
      bed.deploy("a", { deliver: () => Promise.reject(new MillraceError({ ...refusal, action })) });
    expect((await failureOf(refuse("Log in again"))).action).toBe("Log in again.");
    expect((await failureOf(refuse())).action).toBe("Correct the cause and deploy again.");
  });

  test("fails as a deploy when the artefact cannot be delivered, and the old snapshot serves on", async () => {
    await bed.deploy("a");
    const deliver: Desired["deliver"] = () =>
      Promise.reject(
        new MillraceError({
          class: "platform",
          code: "PUSH_REFUSED",
          message: "The registry refuses.",
          action: "Log in again",
        }),
      );
    const error = await failureOf(bed.deploy("b", { deliver }));
    expect(error).toMatchObject({
      code: "DEPLOY_FAILED",
      action: expect.stringMatching(/^Log in again\. `[^`]+` shows what the service wrote\.$/),
      details: { failure: "PUSH_REFUSED", stillServes: true },
    });
    expect(await bed.record()).toMatchObject({
      status: "RUNNING",
      snapshotId: await bed.snapshot("a"),
    });
  });

  test("takes absent readings after the creation for what they are: late", async () => {
    const confirm = () => {
      // The call itself is not stale; the reads after it show that nothing exists.
      bed.platform.faults = Array.from({ length: 8 }, () => "stale" as const);
      return true;
    };
    expect((await bed.deploy("a", { confirm })).deployment.status).toBe("RUNNING");
    expect(bed.told).toContain("The platform does not show it yet.");
  });

  test("stays on the old snapshot and RUNNING when the roll-out fails and the old one serves", async () => {
    await bed.deploy("a");
    bed.platform.rolloutsFail = true;
    const error = await failureOf(bed.deploy("b"));
    expect(error).toMatchObject({
      class: "platform",
      code: "DEPLOY_FAILED",
      action: expect.stringMatching(/service wrote\. Correct the cause and deploy again\.$/),
      details: { logs: ["Error: no such file"], failure: "TEST_CRASHED", stillServes: true },
    });
    expect(error.message).toContain("The process ended with 1.");
    expect(error.message).toContain("What served before still serves.");
    expect(await bed.record()).toMatchObject({
      status: "RUNNING",
      snapshotId: await bed.snapshot("a"),
      revision: "revision-a",
      authKeyHash: "hash-a",
    });
    expect(await history()).toEqual(["provision failed", "provision succeeded"]);
    expect((await bed.operations())[0]?.error?.code).toBe("DEPLOY_FAILED");
  });

  test.each([
    ["pipeline", "pipeline"],
    ["platform", "platform"],
    // The deadline that passed is the service's, and not that of the command.
    ["timeout", "platform"],
  ] as const)(
    "a roll-out that fails by class %s is an error of class %s",
    async (failureClass, shown) => {
      Object.assign(bed.platform, { rolloutsFail: true, failureClass });
      expect(await failureOf(bed.deploy("a"))).toMatchObject({
        class: shown,
        code: "DEPLOY_FAILED",
      });
    },
  );

  test("is ERROR when the roll-out fails and nothing serves", async () => {
    bed.platform.rolloutsFail = true;
    const error = await failureOf(bed.deploy("a"));
    expect(error.code).toBe("DEPLOY_FAILED");
    expect(error.message).toContain("Nothing serves now.");
    expect(await bed.record()).toMatchObject({ status: "ERROR", snapshotId: null, revision: null });
  });

  test("is ERROR when the roll-out fails and what serves does not answer", async () => {
    await bed.deploy("a");
    bed.platform.rolloutsFail = true;
    bed.platform.healthy = false;
    expect((await failureOf(bed.deploy("b"))).message).toContain("Nothing serves now.");
    expect((await bed.record()).status).toBe("ERROR");
  });

  test("says what serves when the platform refuses at once", async () => {
    await bed.deploy("a");
    const confirm = () => {
      bed.platform.faults = ["refused"];
      return true;
    };
    const error = await failureOf(bed.deploy("b", { confirm }));
    expect(error).toMatchObject({ code: "DEPLOY_FAILED", details: { failure: "TEST_REFUSED" } });
    expect(error.message).toMatch(/The quota is used up\..*still serves/);
    expect(error.action).toContain("Ask for more.");
    expect((await bed.record()).status).toBe("RUNNING");
  });

  test("says what serves also when a setting is refused, whose error stays what it is", async () => {
    await bed.deploy("a");
    const deliver: Desired["deliver"] = () =>
      Promise.reject(
        new MillraceError({
          class: "usage",
          code: "NO_SUCH_FOLDER",
          message: "There is no /data.",
        }),
      );
    const error = await failureOf(bed.deploy("b", { deliver }));
    expect(error).toMatchObject({ class: "usage", code: "NO_SUCH_FOLDER" });
    expect(error.message).toBe("There is no /data. What served before still serves.");
  });

  test("keeps what the stack says of the deployer once it serves, and not before", async () => {
    const kept = async () => (await bed.record()).deployerSettings;
    await bed.deploy("a");
    expect(await kept()).toEqual({ settings: { letter: "a" }, serving: {} });
    bed.platform.rolloutsFail = true;
    await failureOf(bed.deploy("b"));
    expect(await kept()).toEqual({ settings: { letter: "a" }, serving: {} });
    bed.platform.rolloutsFail = false;
    await bed.deploy("c");
    expect(await kept()).toEqual({ settings: { letter: "c" }, serving: {} });
  });

  test("heals what failed before", async () => {
    bed.platform.rolloutsFail = true;
    await failureOf(bed.deploy("a"));
    bed.platform.rolloutsFail = false;
    expect((await bed.deploy("b")).deployment.status).toBe("RUNNING");
  });

  test("does not take the failure of an earlier attempt for one of its own", async () => {
    bed.platform.rolloutsFail = true;
    await failureOf(bed.deploy("a"));
    const late = bed.platform.observe();
    expect(late.rollout).toMatchObject({ revision: "revision-a", phase: "failed" });
    bed.platform.rolloutsFail = false;
    const { platform } = bed;
    const inspect = platform.inspect.bind(platform);
    let reads = 0;
    platform.inspect = (context) => (++reads <= 2 ? Promise.resolve(late) : inspect(context));
    expect((await bed.deploy("a")).deployment.status).toBe("RUNNING");
  });

  test("tells the deployer of what its try before has written", async () => {
    const known: string[][] = [];
    const driver = bed.driver({
      async deployerOf(record) {
        const { flavor, deployer } = await bed.dependencies.deployerOf(record);
        const provision: typeof deployer.provision = (request, context) => {
          known.push(request.deployment.inventory.map(({ kind }) => kind));
          return deployer.provision(request, context);
        };
        return { flavor, deployer: { ...deployer, provision } };
      },
    });
    const confirm = () => {
      bed.platform.faults = ["reply lost"];
      return true;
    };
    await driver.provision(await bed.provisionInput("a", { confirm }));
    expect(known).toEqual([[], ["folder", "process"]]);
  });

  test("is an operation when the deployment was not RUNNING, though nothing differs", async () => {
    await bed.deploy("a");
    bed.platform.faults = ["expired"];
    await failureOf(bed.refresh());
    expect((await bed.record()).status).toBe("UNKNOWN");
    const { deployment, operation } = await bed.deploy("a");
    expect(operation?.outcome).toBe("succeeded");
    expect(deployment.status).toBe("RUNNING");
  });

  test("reports a fault of the deployer as one, and records the operation as failed", async () => {
    const confirm = () => {
      bed.platform.faults = ["bug"];
      return true;
    };
    expect(await failureOf(bed.deploy("a", { confirm }))).toMatchObject({
      class: "internal",
      code: "INTERNAL",
    });
    expect(await history()).toEqual(["provision failed"]);
    expect((await bed.record()).status).toBe("ABSENT");
  });

  test("fails when a deployer made nothing and observes nothing", async () => {
    const { platform } = bed;
    platform.provision = async () => platform.observe();
    expect(await failureOf(bed.deploy("a"))).toMatchObject({
      code: "DEPLOY_FAILED",
      details: { failure: "NOTHING_MADE" },
    });
    expect((await bed.record()).status).toBe("ABSENT");
  });

  test("gives a snapshot to one deployment: another hears of it before anything is started", async () => {
    const other = await testBed.bed();
    const input = await bed.provisionInput("a");
    const late = async () =>
      failureOf(other.driver().provision({ ...input, record: await other.record() }));
    const refusals: MillraceError[] = [];
    const confirm = async () => {
      refusals.push(await late());
      return true;
    };
    await bed.driver().provision({ ...input, confirm });
    refusals.push(await late());
    for (const refusal of refusals)
      expect(refusal).toMatchObject({
        code: "SNAPSHOT_DEPLOYED",
        details: { deployment: bed.name },
      });
    expect(refusals).toHaveLength(2);
    expect(await other.record()).toMatchObject({ status: "ABSENT", snapshotId: null });
    expect(other.platform.calls).toEqual([]);
    expect(await history()).toEqual(["provision succeeded"]);
  });
});

describe("a platform that cannot be reached", () => {
  test("makes a deploy UNKNOWN, and wipes nothing", async () => {
    await bed.deploy("a");
    const confirm = () => {
      bed.platform.faults = ["expired"];
      return true;
    };
    const error = await failureOf(bed.deploy("b", { confirm }));
    expect(error).toMatchObject({ class: "unreachable", code: "TEST_EXPIRED" });
    expect(await bed.record()).toMatchObject({
      status: "UNKNOWN",
      statusReason: "The credentials expired.",
      snapshotId: await bed.snapshot("a"),
      url: bed.platform.url,
      metadata: { process: 42 },
    });
    expect(await bed.inventory()).toEqual({ folder: "present", process: "present" });
    expect(await history()).toEqual(["provision failed", "provision succeeded"]);
  });

  test("is UNKNOWN after a failure when it cannot be looked at either", async () => {
    await bed.deploy("a");
    const confirm = () => {
      bed.platform.faults = ["refused", "expired"];
      return true;
    };
    const error = await failureOf(bed.deploy("b", { confirm }));
    expect(error.code).toBe("DEPLOY_FAILED");
    expect(error.message).toContain("What serves now is not known.");
    expect(await bed.record()).toMatchObject({ status: "UNKNOWN", url: bed.platform.url });
  });

  test("is UNKNOWN when a plan finds it so, without an operation", async () => {
    await bed.deploy("a");
    bed.platform.faults = ["expired"];
    await failureOf(bed.deploy("b"));
    expect((await bed.record()).status).toBe("UNKNOWN");
    expect(await history()).toEqual(["provision succeeded"]);
  });

  test("never makes a healthy service look broken on refresh, and is RUNNING again afterwards", async () => {
    await bed.deploy("a");
    bed.platform.faults = ["expired"];
    expect((await failureOf(bed.refresh())).class).toBe("unreachable");
    expect(await bed.record()).toMatchObject({
      status: "UNKNOWN",
      url: bed.platform.url,
      metadata: { process: 42 },
    });
    expect(await bed.inventory()).toEqual({ folder: "present", process: "present" });
    expect((await bed.refresh()).status).toBe("RUNNING");
  });

  test("is UNKNOWN at the deadline when it was throttled all the time", async () => {
    await bed.deploy("a");
    const confirm = () => {
      bed.platform.faults = Array.from({ length: 100_000 }, () => "throttled" as const);
      return true;
    };
    const error = await failureOf(
      bed.deploy("b", { confirm, call: bed.call({ timeoutSeconds: 0.1 }) }),
    );
    expect(error).toMatchObject({ class: "timeout", code: "OPERATION_TIMED_OUT" });
    expect(error.message).toContain("Too many calls.");
    expect(error.action).toMatch(/^Wait\. Run the same command/);
    expect((await bed.record()).status).toBe("UNKNOWN");
    expect(await history()).toEqual(["provision timed_out", "provision succeeded"]);
  });

  test("is UNKNOWN when a refresh gets no answer before its deadline", async () => {
    await bed.deploy("a");
    bed.platform.hangs = true;
    expect((await failureOf(bed.refresh(bed.call({ timeoutSeconds: 0.05 })))).class).toBe(
      "timeout",
    );
    expect((await bed.record()).status).toBe("UNKNOWN");
  });

  test("refuses to delete, and says that force would", async () => {
    await bed.deploy("a");
    bed.platform.faults = ["expired"];
    const error = await failureOf(bed.driver().delete(await bed.record(), false, bed.call()));
    expect(error).toMatchObject({ class: "unreachable", code: "DELETE_UNREACHABLE" });
    expect(error.action).toContain("--force");
    expect((await bed.record()).status).toBe("UNKNOWN");
  });
});

describe("the deadline", () => {
  test("leaves PENDING, and a refresh commits what serves by then", async () => {
    await bed.deploy("a");
    bed.platform.stuck = true;
    const error = await failureOf(bed.deploy("b", { call: bed.call({ timeoutSeconds: 0.05 }) }));
    expect(error).toMatchObject({ class: "timeout", code: "OPERATION_TIMED_OUT" });
    expect(error.action).toContain(`npx millrace deployment refresh ${bed.name}`);
    expect(await bed.record()).toMatchObject({
      status: "PENDING",
      snapshotId: await bed.snapshot("a"),
    });

    expect(await bed.refresh()).toMatchObject({
      status: "PENDING",
      snapshotId: await bed.snapshot("a"),
    });
    bed.platform.stuck = false;
    bed.platform.rolloutReads = 1;
    await expect.poll(async () => (await bed.refresh()).status).toBe("RUNNING");
    expect(await bed.record()).toMatchObject({
      snapshotId: await bed.snapshot("b"),
      revision: "revision-b",
      authKeyHash: "hash-b",
    });
    expect((await bed.refresh()).status).toBe("RUNNING");
    expect(await history()).toEqual([
      "refresh succeeded",
      "provision timed_out",
      "provision succeeded",
    ]);
  });

  test("leaves PENDING, and the same command picks it up", async () => {
    bed.platform.stuck = true;
    await failureOf(bed.deploy("a", { call: bed.call({ timeoutSeconds: 0.05 }) }));
    bed.platform.stuck = false;
    expect((await bed.deploy("a")).deployment.status).toBe("RUNNING");
  });

  test("holds for a deployer that hears nothing", async () => {
    const { platform } = bed;
    platform.provision = () => new Promise(() => undefined);
    const error = await failureOf(bed.deploy("a", { call: bed.call({ timeoutSeconds: 0.05 }) }));
    expect(error.code).toBe("OPERATION_TIMED_OUT");
    expect((await bed.record()).status).toBe("PENDING");
  });
});

describe("an abort", () => {
  test("is recorded, and the last observation decides the status", async () => {
    await bed.deploy("a");
    const { platform } = bed;
    const caller = new AbortController();
    const provision = platform.provision.bind(platform);
    platform.provision = async (request, context) => {
      const observation = await provision(request, context);
      caller.abort();
      expect(context.signal.aborted).toBe(true);
      return observation;
    };
    const error = await failureOf(bed.deploy("b", { call: bed.call({ signal: caller.signal }) }));
    expect(error).toMatchObject({ class: "aborted", code: "ABORTED" });
    expect(await history()).toEqual(["provision aborted", "provision succeeded"]);
    expect(await bed.record()).toMatchObject({
      status: "PENDING",
      snapshotId: await bed.snapshot("a"),
    });
    platform.provision = provision;
    expect((await bed.deploy("b")).deployment.snapshotId).toBe(await bed.snapshot("b"));
  });

  test("tells what could not be reached until then", async () => {
    await bed.deploy("a");
    const caller = new AbortController();
    bed.platform.inspect = async () => {
      caller.abort();
      throw new MillraceError({
        class: "unreachable",
        code: "TEST_AWAY",
        message: "The platform is away.",
        retryable: true,
      });
    };
    const error = await failureOf(bed.refresh(bed.call({ signal: caller.signal })));
    expect(error).toMatchObject({ code: "ABORTED" });
    expect(error.message).toContain("What stood in its way: The platform is away.");
  });

  test("of a refresh leaves what crashed as it was, to be picked up", async () => {
    await bed.deploy("a");
    const snapshotId = await bed.snapshot("b");
    await bed.withLease((lease) =>
      bed.store.operations.begin(
        {
          kind: "provision",
          deploymentId: bed.id,
          userName: "ada",
          snapshotId,
          revision: "revision-b",
          previousSnapshotId: null,
          overrides: {},
        },
        { status: "PENDING", statusReason: "provision is under way." },
        lease,
      ),
    );
    const before = await bed.record();
    const caller = new AbortController();
    const { platform } = bed;
    const inspect = platform.inspect.bind(platform);
    platform.inspect = async (context) => {
      caller.abort();
      return inspect(context);
    };
    expect((await failureOf(bed.refresh(bed.call({ signal: caller.signal })))).code).toBe(
      "ABORTED",
    );
    expect(await bed.record()).toEqual(before);
    platform.inspect = inspect;
    expect(await bed.refresh()).toMatchObject({ status: "RUNNING", statusReason: null });
    expect(await history()).toEqual([
      "refresh succeeded",
      "provision abandoned",
      "provision succeeded",
    ]);
  });

  test("before anything was started changes nothing", async () => {
    await bed.deploy("a");
    const call = bed.call({ signal: AbortSignal.abort() });
    expect((await failureOf(bed.deploy("b", { call }))).class).toBe("aborted");
    expect((await failureOf(bed.refresh(call))).class).toBe("aborted");
    expect((await bed.record()).status).toBe("RUNNING");
    expect(await history()).toEqual(["provision succeeded"]);
  });
});

describe("refresh", () => {
  test("finds a healthy service RUNNING, without an operation", async () => {
    await bed.deploy("a");
    expect((await bed.refresh()).status).toBe("RUNNING");
    expect(await history()).toEqual(["provision succeeded"]);
  });

  test("finds a silent service in ERROR, after some tries", async () => {
    await bed.deploy("a");
    bed.platform.healthy = false;
    bed.platform.calls = [];
    const record = await bed.refresh();
    expect(record.status).toBe("ERROR");
    expect(record.statusReason).toMatch(/answers 503\.$/);
    expect(bed.platform.calls).toEqual(["inspect", "inspect", "inspect"]);
  });

  test("finds a service that answers again RUNNING within those tries", async () => {
    await bed.deploy("a");
    bed.platform.healthy = false;
    const { platform } = bed;
    const inspect = platform.inspect.bind(platform);
    platform.inspect = async (context) => {
      platform.healthy = platform.calls.filter((call) => call === "inspect").length > 3;
      return inspect(context);
    };
    expect((await bed.refresh()).status).toBe("RUNNING");
  });

  test("does not take an answer that was cut off for silence", async () => {
    await bed.deploy("a");
    bed.platform.healthy = false;
    const caller = new AbortController();
    const { platform } = bed;
    const inspect = platform.inspect.bind(platform);
    let reads = 0;
    platform.inspect = async (context) => {
      const observation = await inspect(context);
      if (++reads === 3) caller.abort();
      return observation;
    };
    const call = bed.call({ signal: caller.signal });
    expect((await failureOf(bed.refresh(call))).class).toBe("aborted");
    expect((await bed.record()).status).toBe("RUNNING");
  });

  test("finds another revision than the recorded one drifted", async () => {
    await bed.deploy("a");
    bed.platform.serving = { revision: "revision-z", snapshotId: "sha256:zzzz" };
    const record = await bed.refresh();
    expect(record).toMatchObject({ status: "ERROR", snapshotId: await bed.snapshot("a") });
    expect(record.statusReason).toContain("snapshot zzzz");
  });

  test("does not believe one absent reading", async () => {
    await bed.deploy("a");
    const absent = {
      ...bed.platform.observe(),
      state: "absent",
      resources: [],
      serving: null,
    } as const;
    const { platform } = bed;
    const inspect = platform.inspect.bind(platform);
    let reads = 0;
    platform.inspect = (context) => (++reads <= 2 ? Promise.resolve(absent) : inspect(context));
    expect((await bed.refresh()).status).toBe("RUNNING");
  });

  test("marks what is gone as missing, and keeps it in the inventory", async () => {
    await bed.deploy("a");
    bed.platform.remove("process");
    expect((await bed.refresh()).status).toBe("ERROR");
    expect(await bed.inventory()).toEqual({ folder: "present", process: "missing" });
    bed.platform.remove("folder");
    expect(await bed.refresh()).toMatchObject({ status: "ABSENT", url: null });
    expect(await bed.inventory()).toEqual({ folder: "missing", process: "missing" });
    expect((await bed.deploy("a")).deployment.status).toBe("RUNNING");
    expect(await bed.inventory()).toEqual({ folder: "present", process: "present" });
  });

  test("takes up resources that the journal does not know", async () => {
    await bed.deploy("a");
    bed.platform.resources.add("certificate");
    await bed.refresh();
    expect(await bed.inventory()).toEqual({
      folder: "present",
      process: "present",
      certificate: "present",
    });
  });
});

describe("deprovision", () => {
  test("removes everything, keeps the record, and does nothing the second time", async () => {
    await bed.deploy("a");
    expect(await bed.deprovision()).toMatchObject({
      status: "ABSENT",
      url: null,
      snapshotId: await bed.snapshot("a"),
    });
    expect(bed.platform.resources.size).toBe(0);
    expect(await bed.inventory()).toEqual({});
    bed.platform.calls = [];
    expect((await bed.deprovision()).status).toBe("ABSENT");
    expect(bed.platform.calls).toEqual([]);
    expect(await history()).toEqual(["deprovision succeeded", "provision succeeded"]);
  });

  test("forgets what was intended and never made, once the platform confirms that nothing is left", async () => {
    await bed.deploy("a");
    await bed.withLease((lease) =>
      bed.store.inventory.put(
        bed.id,
        { kind: "certificate", name: "c", state: "intended", platformId: null },
        lease,
      ),
    );
    await bed.deprovision();
    expect(await bed.inventory()).toEqual({});
  });

  test("leaves the status as observed when it fails", async () => {
    await bed.deploy("a");
    bed.platform.faults = ["refused"];
    expect((await failureOf(bed.deprovision())).code).toBe("TEST_REFUSED");
    expect((await bed.record()).status).toBe("RUNNING");
    expect(await bed.inventory()).toEqual({ folder: "present", process: "present" });
    expect(await history()).toEqual(["deprovision failed", "provision succeeded"]);
  });

  test("that times out stays PENDING and is picked up", async () => {
    await bed.deploy("a");
    bed.platform.stuck = true;
    const call = bed.call({ timeoutSeconds: 0.05 });
    expect((await failureOf(bed.deprovision(call))).code).toBe("OPERATION_TIMED_OUT");
    expect((await bed.record()).status).toBe("PENDING");
    bed.platform.stuck = false;
    expect((await bed.deprovision()).status).toBe("ABSENT");
  });

  test("looks for what may have been made by an operation that died", async () => {
    const confirm = () => {
      bed.platform.faults = ["reply lost", "expired"];
      return true;
    };
    await failureOf(bed.deploy("a", { confirm }));
    expect(bed.platform.resources.size).toBe(2);
    expect((await bed.deprovision()).status).toBe("ABSENT");
    expect(bed.platform.resources.size).toBe(0);
  });
});

describe("delete", () => {
  const remove = async (force = false) =>
    bed.driver().delete(await bed.record(), force, bed.call());

  test("removes the resources and then the record", async () => {
    await bed.deploy("a");
    expect(await remove()).toEqual({ leftBehind: [] });
    expect(bed.platform.resources.size).toBe(0);
    await expect(bed.record()).rejects.toThrow("is gone");
  });

  test("forgets what this machine keeps of it while the record is there to name it", async () => {
    await bed.deploy("a");
    let stopped = true;
    const forget = async () => {
      expect(await bed.recordOrNull()).toMatchObject({ status: "ABSENT" });
      if (stopped) throw new Error("killed");
    };
    const driver = bed.driver({ forget });
    const remove = async () => driver.delete(await bed.record(), false, bed.call());
    await expect(remove()).rejects.toThrow("killed");
    stopped = false;
    await remove();
    expect(await bed.recordOrNull()).toBeNull();
  });

  test("asks no platform when there is nothing, not even for the deployer", async () => {
    const driver = bed.driver({ deployerOf: () => Promise.reject(new Error("no plugin")) });
    await driver.delete(await bed.record(), false, bed.call());
    await expect(bed.record()).rejects.toThrow("is gone");
  });

  test("keeps the record when the platform refuses", async () => {
    await bed.deploy("a");
    bed.platform.faults = ["refused"];
    expect((await failureOf(remove())).code).toBe("TEST_REFUSED");
    expect((await bed.record()).status).toBe("RUNNING");
    expect(await history()).toEqual(["delete failed", "provision succeeded"]);
  });

  test.each(["refused", "expired", "bug"] as const)(
    "with force goes on when the platform says: %s",
    async (fault) => {
      await bed.deploy("a");
      bed.platform.faults = [fault];
      const { leftBehind } = await remove(true);
      expect(leftBehind.map(({ kind }) => kind)).toEqual(["folder", "process"]);
      await expect(bed.record()).rejects.toThrow("is gone");
    },
  );

  test("with force still heeds the caller", async () => {
    await bed.deploy("a");
    const call = bed.call({ signal: AbortSignal.abort() });
    const removal = bed.driver().delete(await bed.record(), true, call);
    expect((await failureOf(removal)).class).toBe("aborted");
    expect((await bed.record()).status).toBe("RUNNING");
  });

  test("with force needs no plugin", async () => {
    await bed.deploy("a");
    const driver = bed.driver({ deployerOf: () => Promise.reject(new Error("no plugin")) });
    const { leftBehind } = await driver.delete(await bed.record(), true, bed.call());
    expect(leftBehind).toHaveLength(2);
    await expect(bed.record()).rejects.toThrow("is gone");
  });
});

describe("two operators", () => {
  test.each(["provision", "rollback"] as const)(
    "the second one is told who is at work: a %s",
    async (kind) => {
      const confirm = async () => {
        const error = await failureOf(bed.refresh());
        expect(error).toMatchObject({ class: "conflict", code: "DEPLOYMENT_BUSY" });
        expect(error.message).toContain(`"${kind} ${bed.name}" by process ${process.pid}`);
        expect(error.message).toMatch(/since \d{4}-\d\d-\d\dT/);
        return true;
      };
      expect((await bed.deploy("a", { kind, confirm })).deployment.status).toBe("RUNNING");
    },
  );

  test("one that lost the lease writes nothing more, and its operation is found abandoned", async () => {
    const { platform } = bed;
    const provision = platform.provision.bind(platform);
    platform.provision = async (request, context) => {
      await bed.holderDied();
      return provision(request, context);
    };
    expect((await failureOf(bed.deploy("a"))).code).toBe("LEASE_LOST");
    expect(platform.calls).toEqual(["plan", "provision"]);
    expect(platform.resources.size).toBe(0);
    platform.provision = provision;
    expect((await bed.deploy("b")).deployment.status).toBe("RUNNING");
    expect(await history()).toEqual(["provision succeeded", "provision abandoned"]);
  });
});
