import { type DeploymentRecord, type RunRecord, uuidv7Source } from "@millrace/core";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { StoreOptions } from "./index.ts";
import type { Lease, LeaseHolder, Store } from "./store.ts";

/** Opens a store that is empty. */
export type OpenFresh = (options: Omit<StoreOptions, "url">) => Promise<Store>;

const HOLDER: LeaseHolder = {
  host: "here",
  pid: 1,
  processStart: "1",
  purpose: "deploy weather",
  since: 1,
};
const SNAPSHOTS = ["a", "b", "c"].map((digit) => `sha256:${digit.repeat(64)}`);

/** What every store does, whatever its database is. */
export function storeSuite(name: string, openFresh: OpenFresh): void {
  describe(name, () => {
    let now = 1_700_000_000_000;
    let store: Store;
    let projectId: string;
    let userId: string;

    beforeEach(async () => {
      store = await openFresh({ now: () => now++ });
      projectId = (await store.projects.ensure("default")).id;
      userId = (await store.users.ensure("ada")).id;
    });
    afterEach(() => store.close());

    const create = (deploymentName: string): Promise<DeploymentRecord> =>
      store.deployments.create({
        projectId,
        name: deploymentName,
        userId,
        stack: "default",
        deployer: "local",
        flavor: "local",
        deployerSettings: { port: 1 },
      });
    const leaseOf = async (deployment: { id: string }): Promise<Lease> => {
      const attempt = await store.leases.acquire(`deployment:${deployment.id}`, HOLDER, 60_000);
      if (!attempt.acquired) throw new Error("The lease is held.");
      return attempt.lease;
    };
    const snapshot = async (
      id: string,
      snapshotName: string | null = null,
      pipeline = "weather",
    ) => {
      const pipelineId = (await store.pipelines.ensure(projectId, pipeline)).id;
      return store.snapshots.ensure({
        id,
        projectId,
        pipelineId,
        pipelineName: pipeline,
        name: snapshotName,
        description: null,
      });
    };
    const newRunId = uuidv7Source(() => now++);
    const run = (over: Partial<RunRecord> = {}): RunRecord => {
      const id = over.id ?? newRunId();
      return {
        id,
        name: `weather-${id.slice(24)}`,
        projectId,
        pipelineName: "weather",
        snapshotId: SNAPSHOTS[0] ?? "",
        deploymentId: null,
        status: "completed",
        startedAt: now,
        durationMs: 1.5,
        inputs: { city: "Lisbon" },
        outputs: { celsius: 17.5 },
        steps: [],
        error: null,
        ...over,
      };
    };

    describe("projects, users, pipelines", () => {
      test("the same name is the same record", async () => {
        expect((await store.projects.ensure("default")).id).toBe(projectId);
        expect((await store.projects.ensure("other")).id).not.toBe(projectId);
        expect((await store.users.ensure("ada")).id).toBe(userId);
        const pipeline = await store.pipelines.ensure(projectId, "weather");
        expect(await store.pipelines.ensure(projectId, "weather")).toEqual(pipeline);
        expect(await store.pipelines.list(projectId)).toEqual([pipeline]);
      });
    });

    describe("components and stacks", () => {
      test("a component keeps its settings, and its name is unique", async () => {
        const component = {
          projectId,
          type: "deployer" as const,
          name: "prod",
          flavor: "local",
          settings: { deep: { list: [1, "ü", null] } },
        };
        const created = await store.components.create(component);
        expect(created).toMatchObject(component);
        expect(await store.components.get(projectId, "deployer", "prod")).toEqual(created);
        expect(await store.components.list(projectId, "deployer")).toEqual([created]);
        await expect(store.components.create(component)).rejects.toMatchObject({
          code: "COMPONENT_EXISTS",
          class: "conflict",
        });
        expect(await store.components.delete(projectId, "deployer", "prod")).toBe(true);
        expect(await store.components.delete(projectId, "deployer", "prod")).toBe(false);
        expect(await store.components.get(projectId, "deployer", "prod")).toBeNull();
      });

      test("a stack's name is unique, and one stack is active", async () => {
        const stack = await store.stacks.create({ projectId, name: "prod", deployer: "local" });
        await expect(
          store.stacks.create({ projectId, name: "prod", deployer: "local" }),
        ).rejects.toMatchObject({ code: "STACK_EXISTS" });
        expect(await store.stacks.get(projectId, "prod")).toEqual(stack);
        expect(await store.stacks.list(projectId)).toEqual([stack]);
        expect(await store.stacks.active(projectId)).toBeNull();
        await store.stacks.setActive(projectId, "prod");
        expect(await store.stacks.active(projectId)).toBe("prod");
        expect(await store.stacks.delete(projectId, "prod")).toBe(true);
        expect(await store.stacks.get(projectId, "prod")).toBeNull();
      });
    });

    describe("snapshots", () => {
      test("one that exists keeps its record and takes a name", async () => {
        const [id = ""] = SNAPSHOTS;
        const first = await snapshot(id);
        expect(await snapshot(id, "v1")).toEqual({ ...first, name: "v1" });
        expect(await snapshot(id)).toEqual({ ...first, name: "v1" });
      });

      test("a name belongs to one snapshot until it is replaced", async () => {
        const [a = "", b = ""] = SNAPSHOTS;
        await snapshot(a, "v1");
        await expect(snapshot(b, "v1")).rejects.toMatchObject({ code: "SNAPSHOT_NAME_TAKEN" });
        expect(await store.snapshots.find(projectId, b)).toBeNull();
        const { pipelineId } = await snapshot(b);
        await store.snapshots.ensure(
          { id: b, projectId, pipelineId, pipelineName: "weather", name: "v1", description: null },
          { replaceName: true },
        );
        expect((await store.snapshots.find(projectId, "v1"))?.id).toBe(b);
        expect((await store.snapshots.find(projectId, a))?.name).toBeNull();
      });

      test("is found by id, by prefix with and without the algorithm, and by name", async () => {
        const [a = ""] = SNAPSHOTS;
        const made = await snapshot(a, "v1");
        for (const text of [a, a.slice(0, 11), a.slice(7, 11), "v1"])
          expect(await store.snapshots.find(projectId, text)).toEqual(made);
        expect(await store.snapshots.find(projectId, a.slice(7, 10))).toBeNull();
        await snapshot(`${a.slice(0, 20)}${"b".repeat(51)}`);
        await expect(store.snapshots.find(projectId, a.slice(7, 16))).rejects.toMatchObject({
          code: "SNAPSHOT_AMBIGUOUS",
          class: "usage",
        });
      });

      test("are listed newest first, page by page, by pipeline", async () => {
        for (const id of SNAPSHOTS) await snapshot(id);
        const other = await snapshot(`sha256:${"d".repeat(64)}`, null, "other");
        expect((await store.snapshots.list(projectId)).items.map(({ id }) => id)).toEqual([
          other.id,
          ...SNAPSHOTS.toReversed(),
        ]);
        const first = await store.snapshots.list(projectId, { pipeline: "weather", limit: 2 });
        expect(first.items.map(({ id }) => id)).toEqual([SNAPSHOTS[2], SNAPSHOTS[1]]);
        const second = await store.snapshots.list(projectId, {
          pipeline: "weather",
          cursor: first.cursor ?? "",
        });
        expect(second).toMatchObject({ items: [{ id: SNAPSHOTS[0] }], cursor: null });
      });

      test("is not deleted while a deployment or a run refers to it", async () => {
        const [id = "", other = ""] = SNAPSHOTS;
        await snapshot(id);
        await snapshot(other);
        const deployment = await create("weather");
        const lease = await leaseOf(deployment);
        await store.deployments.update(deployment.id, { snapshotId: id }, lease);
        const inUse = { code: "SNAPSHOT_IN_USE", class: "conflict" };
        await expect(store.snapshots.delete(projectId, id)).rejects.toMatchObject(inUse);
        await store.deployments.update(deployment.id, { snapshotId: other }, lease);
        expect(await store.snapshots.delete(projectId, id)).toBe(true);
        expect(await store.snapshots.delete(projectId, id)).toBe(false);
        await snapshot(id);
        await store.runs.record([run({ snapshotId: id })]);
        await expect(store.snapshots.delete(projectId, id)).rejects.toMatchObject(inUse);
      });

      test("is not deleted while an operation may still bring it into service", async () => {
        const deployment = await create("weather");
        const lease = await leaseOf(deployment);
        const wanted = await operation(deployment.id);
        const end = (id: string, outcome: "timed_out" | "aborted" | "failed" | "succeeded") =>
          store.operations.end(id, { outcome, error: null }, {}, lease);
        const refused = () =>
          expect(store.snapshots.delete(projectId, wanted.snapshotId)).rejects.toMatchObject({
            code: "SNAPSHOT_IN_USE",
            message: expect.stringContaining('"weather"'),
          });
        const refresh = { ...wanted, kind: "refresh", snapshotId: null, revision: null } as const;
        const deprovision = { ...refresh, kind: "deprovision" } as const;
        for (const outcome of ["timed_out", "aborted", "abandoned"] as const) {
          const { id } = await store.operations.begin(wanted, {}, lease);
          await refused();
          if (outcome !== "abandoned") await end(id, outcome);
          await refused();
          await end((await store.operations.begin(refresh, {}, lease)).id, "succeeded");
          await end((await store.operations.begin(deprovision, {}, lease)).id, "failed");
          await refused();
          await end((await store.operations.begin(deprovision, {}, lease)).id, "succeeded");
          expect(await store.snapshots.delete(projectId, wanted.snapshotId)).toBe(true);
          await snapshot(wanted.snapshotId);
        }
        await end((await store.operations.begin(wanted, {}, lease)).id, "failed");
        expect(await store.snapshots.delete(projectId, wanted.snapshotId)).toBe(true);
      });

      test("one that was deleted is neither deployed nor recorded as serving, which is said at once", async () => {
        const deployment = await create("weather");
        const lease = await leaseOf(deployment);
        const wanted = await operation(deployment.id);
        await store.snapshots.delete(projectId, wanted.snapshotId);
        const gone = { code: "SNAPSHOT_NOT_FOUND", class: "not_found" };
        await expect(store.operations.begin(wanted, {}, lease)).rejects.toMatchObject(gone);
        expect((await store.operations.list(deployment.id)).items).toEqual([]);
        const { snapshotId } = wanted;
        await expect(
          store.deployments.update(deployment.id, { snapshotId }, lease),
        ).rejects.toMatchObject(gone);
      });
    });

    describe("deployments", () => {
      test("a new one is ABSENT, and its name is unique in the project", async () => {
        const deployment = await create("weather");
        expect(deployment).toMatchObject({
          name: "weather",
          userName: "ada",
          status: "ABSENT",
          snapshotId: null,
          deployerSettings: { port: 1 },
          metadata: {},
        });
        await expect(create("weather")).rejects.toMatchObject({ code: "DEPLOYMENT_EXISTS" });
        const project = await store.projects.ensure("other");
        await store.deployments.create({ ...deployment, projectId: project.id });
      });

      test("is found by id, by prefix and by name", async () => {
        const deployment = await create("weather");
        for (const text of [deployment.id, deployment.id.slice(0, 4), "weather"])
          expect(await store.deployments.find(projectId, text)).toEqual(deployment);
        expect(await store.deployments.find(projectId, deployment.id.slice(0, 3))).toBeNull();
        expect(await store.deployments.find(projectId, "100%")).toBeNull();
        await create("other");
        await expect(
          store.deployments.find(projectId, deployment.id.slice(0, 8)),
        ).rejects.toMatchObject({
          code: "DEPLOYMENT_AMBIGUOUS",
          action: expect.stringContaining(`${deployment.id} (weather)`),
        });
      });

      test("a snapshot has at most one deployment", async () => {
        const [id = ""] = SNAPSHOTS;
        await snapshot(id, "v1");
        const first = await create("first");
        const second = await create("second");
        await store.deployments.update(first.id, { snapshotId: id }, await leaseOf(first));
        expect((await store.deployments.findBySnapshot(projectId, id))?.name).toBe("first");
        await expect(
          store.deployments.update(second.id, { snapshotId: id }, await leaseOf(second)),
        ).rejects.toMatchObject({
          code: "SNAPSHOT_DEPLOYED",
          class: "conflict",
          details: { deploymentId: first.id, deploymentName: "first" },
        });
        expect((await store.deployments.list(projectId)).items).toMatchObject([
          { name: "second", pipelineName: null, snapshotName: null },
          { name: "first", pipelineName: "weather", snapshotName: "v1" },
        ]);
      });

      test("a rename cannot take the name of another", async () => {
        await create("first");
        const second = await create("second");
        const lease = await leaseOf(second);
        await expect(
          store.deployments.update(second.id, { name: "first" }, lease),
        ).rejects.toMatchObject({ code: "DEPLOYMENT_EXISTS" });
        const renamed = await store.deployments.update(second.id, { name: "third" }, lease);
        expect(renamed.name).toBe("third");
        expect(renamed.updatedAt).toBeGreaterThan(second.updatedAt);
      });

      test("filters narrow a list", async () => {
        const [id = ""] = SNAPSHOTS;
        await snapshot(id);
        const first = await create("first");
        await create("second");
        await store.deployments.update(
          first.id,
          { snapshotId: id, status: "RUNNING" },
          await leaseOf(first),
        );
        for (const filter of [{ status: "RUNNING" }, { pipeline: "weather" }] as const) {
          const { items } = await store.deployments.list(projectId, filter);
          expect(items.map((item) => item.name)).toEqual(["first"]);
        }
        const { items } = await store.deployments.list(projectId, { deployer: "local", userId });
        expect(items).toHaveLength(2);
        expect((await store.deployments.list(projectId, { deployer: "x" })).items).toEqual([]);
      });

      test("its operations and inventory go with it, its runs stay", async () => {
        const deployment = await create("weather");
        const lease = await leaseOf(deployment);
        await store.inventory.put(deployment.id, resource("a"), lease);
        await store.operations.begin(await operation(deployment.id), {}, lease);
        await store.runs.record([run({ deploymentId: deployment.id })]);
        const named = async () =>
          (await store.runs.list(projectId)).items.map(({ deploymentName }) => deploymentName);
        expect(await named()).toEqual(["weather"]);
        expect(await store.deployments.delete(deployment.id, lease)).toBe(true);
        expect(await store.deployments.delete(deployment.id, lease)).toBe(false);
        expect(await store.deployments.find(projectId, "weather")).toBeNull();
        expect(await store.inventory.list(deployment.id)).toEqual([]);
        expect((await store.operations.list(deployment.id)).items).toEqual([]);
        expect(await named()).toEqual([null]);
        await expect(
          store.deployments.update(deployment.id, { status: "ERROR" }, lease),
        ).rejects.toMatchObject({ code: "DEPLOYMENT_NOT_FOUND" });
      });
    });

    const resource = (resourceName: string, state: "intended" | "present" = "intended") => ({
      kind: "process",
      name: resourceName,
      state,
      platformId: null,
    });
    const operation = async (deploymentId: string) => ({
      deploymentId,
      kind: "provision" as const,
      userName: "ada",
      snapshotId: (await snapshot(SNAPSHOTS[0] ?? "")).id,
      revision: "r1",
      previousSnapshotId: null,
      overrides: { serving: { maxQueue: 2 } },
    });

    describe("operations and inventory", () => {
      test("begin abandons the unfinished one and patches the deployment, end does the rest", async () => {
        const deployment = await create("weather");
        const lease = await leaseOf(deployment);
        const dead = await store.operations.begin(await operation(deployment.id), {}, lease);
        const alive = await store.operations.begin(
          await operation(deployment.id),
          { status: "PENDING" },
          lease,
        );
        expect((await store.deployments.find(projectId, "weather"))?.status).toBe("PENDING");
        const error = {
          class: "platform" as const,
          code: "X",
          message: "It failed.",
          retryable: true,
        };
        const ended = await store.operations.end(
          alive.id,
          { outcome: "failed", error },
          { status: "ERROR", statusReason: "It failed." },
          lease,
        );
        expect(ended).toMatchObject({ outcome: "failed", error, overrides: alive.overrides });
        expect(await store.deployments.find(projectId, "weather")).toMatchObject({
          status: "ERROR",
          statusReason: "It failed.",
        });
        const { items } = await store.operations.list(deployment.id);
        expect(items).toMatchObject([
          { id: alive.id, outcome: "failed" },
          { id: dead.id, outcome: "abandoned", error: null },
        ]);
        await expect(
          store.operations.end(alive.id, { outcome: "succeeded", error: null }, {}, lease),
        ).rejects.toMatchObject({ code: "OPERATION_ENDED" });
      });

      test("a refused patch leaves no operation behind", async () => {
        await create("first");
        const second = await create("second");
        const lease = await leaseOf(second);
        await expect(
          store.operations.begin(await operation(second.id), { name: "first" }, lease),
        ).rejects.toMatchObject({ code: "DEPLOYMENT_EXISTS" });
        expect((await store.operations.list(second.id)).items).toEqual([]);
      });

      test("the inventory keeps the order in which resources were first written", async () => {
        const deployment = await create("weather");
        const lease = await leaseOf(deployment);
        for (const key of ["b", "a", "c"])
          await store.inventory.put(deployment.id, resource(key), lease);
        await store.inventory.put(deployment.id, resource("b", "present"), lease);
        await store.inventory.remove(deployment.id, { kind: "process", name: "a" }, lease);
        const items = await store.inventory.list(deployment.id);
        expect(items.map((item) => [item.name, item.state])).toEqual([
          ["b", "present"],
          ["c", "intended"],
        ]);
      });
    });

    describe("leases", () => {
      test("every guarded write is refused once another holds the lease, and writes nothing", async () => {
        const deployment = await create("weather");
        const old = await leaseOf(deployment);
        const begun = await store.operations.begin(await operation(deployment.id), {}, old);
        await store.inventory.put(deployment.id, resource("a"), old);
        const before = await store.deployments.find(projectId, "weather");
        const attempt = await store.leases.takeOver(old, HOLDER, 1000);
        expect(attempt).toMatchObject({ acquired: true, lease: { token: old.token + 1 } });
        const lost = { code: "LEASE_LOST", class: "conflict" };
        const { id } = deployment;
        for (const write of [
          () => store.deployments.update(id, { status: "ERROR" }, old),
          () => store.deployments.delete(id, old),
          async () => store.operations.begin(await operation(id), { status: "ERROR" }, old),
          () => store.operations.end(begun.id, { outcome: "failed", error: null }, {}, old),
          () => store.inventory.put(id, resource("b"), old),
          () => store.inventory.remove(id, { kind: "process", name: "a" }, old),
          () => store.leases.renew(old, 1000),
        ])
          await expect(write()).rejects.toMatchObject(lost);
        await store.leases.release(old);
        expect(await store.deployments.find(projectId, "weather")).toEqual(before);
        expect((await store.operations.list(id)).items).toEqual([begun]);
        expect(await store.inventory.list(id)).toMatchObject([{ name: "a" }]);
      });

      test("a write after the release is refused, and the token grows beyond it", async () => {
        const deployment = await create("weather");
        const lease = await leaseOf(deployment);
        await store.leases.release(lease);
        await expect(
          store.deployments.update(deployment.id, { status: "ERROR" }, lease),
        ).rejects.toMatchObject({ code: "LEASE_LOST" });
        expect((await leaseOf(deployment)).token).toBeGreaterThan(lease.token);
      });

      test("behave like the model under any sequence of holders and time", async () => {
        await fc.assert(
          fc.asyncProperty(fc.array(leaseAction(), { maxLength: 40 }), async (actions) => {
            await checkLeases(store, `lease:${now++}`, actions, {
              now: () => now,
              pass: (ms) => {
                now += ms;
              },
            });
          }),
          { numRuns: 60 },
        );
      });
    });

    describe("runs", () => {
      test("come back as they were recorded, with times to the microsecond", async () => {
        await fc.assert(
          fc.asyncProperty(runContent(), async (content) => {
            const recorded = run(content);
            await store.runs.record([recorded]);
            expect(await store.runs.find(projectId, recorded.id)).toEqual(recorded);
            expect(await store.runs.find(projectId, recorded.name)).toEqual(recorded);
          }),
          { numRuns: 50 },
        );
      });

      test("the same run twice is one run, and the end replaces `running` and nothing else", async () => {
        const ended = run();
        const running = { ...ended, status: "running", outputs: null, durationMs: null } as const;
        expect(await store.runs.record([running, run()])).toBe(2);
        expect((await store.runs.find(projectId, ended.id))?.status).toBe("running");
        expect(await store.runs.record([ended])).toBe(1);
        expect(await store.runs.record([running, ended])).toBe(0);
        await store.runs.record([{ ...ended, status: "failed" }]);
        expect(await store.runs.find(projectId, ended.id)).toEqual(ended);
        expect((await store.runs.list(projectId)).items).toHaveLength(2);
      });

      test("a run that comes several times in one call is one run, as it ended first", async () => {
        const ended = run();
        const running = { ...ended, status: "running", outputs: null, durationMs: null } as const;
        await store.runs.record([running, ended, { ...ended, status: "failed" }, running]);
        expect(await store.runs.find(projectId, ended.id)).toEqual(ended);
        expect((await store.runs.list(projectId)).items).toHaveLength(1);
      });

      test("more runs than one statement takes are one transaction", async () => {
        const runs = Array.from({ length: 1203 }, () => run());
        await store.runs.record(runs);
        const { items } = await store.runs.list(projectId, { limit: 1000 });
        expect(items.map(({ id }) => id)).toEqual(
          runs
            .toReversed()
            .slice(0, 1000)
            .map(({ id }) => id),
        );
      });

      test("pages of any filter hold each matching run once, newest first", async () => {
        const runs = Array.from({ length: 260 }, (_, i) =>
          run({
            deploymentId: i % 7 === 0 ? "d1" : i % 2 === 0 ? "d2" : null,
            pipelineName: i % 50 === 3 ? "rare" : "weather",
            status: i % 11 === 0 ? "failed" : "completed",
          }),
        );
        await store.runs.record(runs);
        await fc.assert(
          fc.asyncProperty(runFilter(), fc.integer({ min: 1, max: 90 }), async (filter, limit) => {
            const seen: string[] = [];
            let cursor: string | null = null;
            do {
              const page = await store.runs.list(projectId, {
                ...filter,
                limit,
                ...(cursor === null ? {} : { cursor }),
              });
              seen.push(...page.items.map(({ id }) => id));
              cursor = page.cursor;
            } while (cursor !== null);
            const expected = runs.filter(
              (one) =>
                (filter.deploymentId === undefined || one.deploymentId === filter.deploymentId) &&
                (filter.pipeline === undefined || one.pipelineName === filter.pipeline) &&
                (filter.status === undefined || one.status === filter.status),
            );
            expect(seen).toEqual(expected.map(({ id }) => id).toReversed());
          }),
          { numRuns: 30 },
        );
      });

      test("of a rare project are found behind many newer ones of another", async () => {
        const other = await store.projects.ensure("other");
        const rare = [run({ deploymentId: "d1" }), run({ status: "failed" }), run()];
        await store.runs.record(rare);
        await store.runs.record(Array.from({ length: 2100 }, () => run({ projectId: other.id })));
        const ids = async (filter = {}) =>
          (await store.runs.list(projectId, filter)).items.map(({ id }) => id);
        expect(await ids()).toEqual(rare.map(({ id }) => id).toReversed());
        expect(await ids({ deploymentId: "d1" })).toEqual([rare[0]?.id]);
        expect(await ids({ status: "failed" })).toEqual([rare[1]?.id]);
        expect(await ids({ status: "completed" })).toEqual([rare[2]?.id, rare[0]?.id]);
      });

      test("since a time are those that were made since", async () => {
        const old = [run(), run(), run()];
        now += 60_000;
        const cut = now;
        const young = run();
        await store.runs.record([...old, young]);
        const { items } = await store.runs.list(projectId, { since: cut });
        expect(items.map(({ id }) => id)).toEqual([young.id]);
      });

      test("are deleted by id, all or none: one that is running is refused", async () => {
        const other = await store.projects.ensure("other");
        const [one, two, running, foreign] = [
          run(),
          run(),
          run({ status: "running" }),
          run({ projectId: other.id }),
        ];
        await store.runs.record([one, two, running, foreign]);
        await expect(store.runs.delete(projectId, [one.id, running.id])).rejects.toMatchObject({
          code: "RUN_RUNNING",
          class: "conflict",
          message: expect.stringContaining(running.name),
        });
        expect(await store.runs.find(projectId, one.id)).toEqual(one);
        expect(await store.runs.delete(projectId, [one.id, "none", foreign.id])).toBe(1);
        expect((await store.runs.list(projectId)).items.map(({ id }) => id)).toEqual([
          running.id,
          two.id,
        ]);
        expect(await store.runs.find(other.id, foreign.id)).toEqual(foreign);
      });

      test("that are old go some at a time, of one deployment or snapshot, and those that are running stay", async () => {
        const other = await store.projects.ensure("other");
        const [, b = ""] = SNAPSHOTS;
        const before = now + 60_000;
        await store.runs.record([
          ...Array.from({ length: 5 }, (_, i) => run({ deploymentId: `d${i % 2}` })),
          run({ deploymentId: "d0", status: "running" }),
          run({ snapshotId: b, status: "failed" }),
          run({ projectId: other.id }),
        ]);
        now = before;
        await store.runs.record([run({ deploymentId: "d0" })]);
        const count = (of = {}) => store.runs.countOld(projectId, { before, ...of });
        const remove = (limit: number, of = {}) =>
          store.runs.deleteOld(projectId, { before, ...of }, limit);
        expect(await count()).toEqual({ ended: 6, running: 1 });
        expect(await count({ deploymentId: "d0" })).toEqual({ ended: 3, running: 1 });
        expect(await remove(2, { deploymentId: "d0" })).toBe(2);
        expect(await remove(2, { deploymentId: "d0" })).toBe(1);
        expect(await remove(2, { deploymentId: "d0" })).toBe(0);
        expect(await count({ snapshotId: b })).toEqual({ ended: 1, running: 0 });
        expect(await remove(9, { snapshotId: b })).toBe(1);
        expect(await remove(9)).toBe(2);
        expect(await count()).toEqual({ ended: 0, running: 1 });
        expect((await store.runs.list(projectId)).items).toHaveLength(2);
        expect((await store.runs.list(other.id)).items).toHaveLength(1);
      });

      test("is found by a prefix when it is the only one", async () => {
        const [one, two] = [run(), run()];
        await store.runs.record([one, two]);
        expect(await store.runs.find(projectId, one.id.slice(0, 30))).toEqual(one);
        await expect(store.runs.find(projectId, one.id.slice(0, 8))).rejects.toMatchObject({
          code: "RUN_AMBIGUOUS",
        });
        expect(await store.runs.find(projectId, "nothing")).toBeNull();
      });
    });

    describe("pages", () => {
      test("a cursor of another list, or none at all, is a usage error", async () => {
        for (let i = 0; i < 3; i++) await create(`deployment-${i}`);
        const { cursor } = await store.deployments.list(projectId, { limit: 1 });
        await fc.assert(
          fc.asyncProperty(fc.oneof(fc.string(), fc.constant(cursor ?? "")), async (text) => {
            await expect(store.runs.list(projectId, { cursor: text })).rejects.toMatchObject({
              code: "CURSOR_INVALID",
              class: "usage",
            });
          }),
        );
      });

      test.each([0, -1, 1.5, 1001, Number.NaN])("a limit of %d is a usage error", async (limit) => {
        await expect(store.runs.list(projectId, { limit })).rejects.toMatchObject({
          code: "LIMIT_INVALID",
          class: "usage",
        });
      });
    });
  });
}

/** A time in milliseconds with whole microseconds. */
const time = () => fc.integer({ min: 0, max: 10_000_000 }).map((us) => us / 1000);
const json = () => fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)));

function runContent(): fc.Arbitrary<Partial<RunRecord>> {
  const status = fc.constantFrom("completed", "failed", "timed_out", "interrupted");
  const step = fc.record({
    step: fc.string(),
    status: fc.constantFrom("completed", "cached", "failed", "cancelled", "timed_out", "skipped"),
    startMs: fc.option(time()),
    durationMs: fc.option(time()),
    attempts: fc.integer({ min: 0, max: 5 }),
  });
  const content = fc.record({
    status,
    durationMs: fc.option(time()),
    inputs: json(),
    outputs: json(),
    steps: fc.array(step, { maxLength: 4 }),
  });
  // A name of one's own, of which no other run has the same.
  const ownName = fc.uuid().map((id) => `named ${id} ü'"`);
  return fc
    .tuple(content, fc.option(ownName, { nil: undefined }))
    .map(([rest, name]) => (name === undefined ? rest : { ...rest, name }));
}

function runFilter() {
  return fc.record(
    {
      deploymentId: fc.constantFrom("d1", "d2", "none"),
      pipeline: fc.constantFrom("weather", "rare"),
      status: fc.constantFrom("completed", "failed", "cancelled"),
    },
    { requiredKeys: [] },
  );
}

type LeaseAction =
  | { readonly do: "acquire" | "takeOver" | "renew" | "release" | "write"; readonly who: number }
  | { readonly do: "pass"; readonly ms: number };

function leaseAction(): fc.Arbitrary<LeaseAction> {
  return fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constantFrom("acquire", "takeOver", "renew", "release", "write"),
        who: fc.nat(2),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("pass" as const), ms: fc.nat(150) }) },
  );
}

const TTL_MS = 100;

/**
 * Runs actions of three holders against the store and a model: at most one newest token, held until it is given back
 * or taken, free for others when it expired; only the newest token's holder may write.
 */
async function checkLeases(
  store: Store,
  name: string,
  actions: readonly LeaseAction[],
  clock: { now(): number; pass(ms: number): void },
): Promise<void> {
  let model: { token: number; who: number | null; expiresAt: number } | null = null;
  const leases: (Lease | undefined)[] = [];
  let seen: Lease | undefined;
  for (const action of actions) {
    const isHeld: boolean = model !== null && model.who !== null && model.expiresAt > clock.now();
    expect((await store.leases.find(name))?.token).toBe(isHeld ? model?.token : undefined);
    if (action.do === "pass") {
      clock.pass(action.ms);
      continue;
    }
    const { who } = action;
    const holder = { ...HOLDER, pid: who };
    const lease = leases[who];
    if (action.do === "acquire" || action.do === "takeOver") {
      if (action.do === "takeOver" && seen === undefined) continue;
      const dead = action.do === "takeOver" ? seen?.token : undefined;
      const before = clock.now();
      const attempt =
        action.do === "takeOver" && seen !== undefined
          ? await store.leases.takeOver(seen, holder, TTL_MS)
          : await store.leases.acquire(name, holder, TTL_MS);
      const free: boolean =
        model === null || model.who === null || model.expiresAt <= before || model.token === dead;
      expect(attempt.acquired).toBe(free);
      if (attempt.acquired) {
        expect(attempt.lease.token).toBe((model?.token ?? 0) + 1);
        model = { token: attempt.lease.token, who, expiresAt: attempt.lease.expiresAt };
        leases[who] = attempt.lease;
        seen = attempt.lease;
      } else {
        expect(attempt.current).toMatchObject({ token: model?.token, holder: { pid: model?.who } });
        seen = attempt.current;
      }
      continue;
    }
    if (lease === undefined) continue;
    const holds: boolean = model?.token === lease.token && model.who !== null;
    if (action.do === "release") {
      await store.leases.release(lease);
      if (holds && model !== null) model = { ...model, who: null };
    } else if (action.do === "renew") {
      const renewal = store.leases.renew(lease, TTL_MS);
      if (holds && model !== null) {
        leases[who] = await renewal;
        model = { ...model, expiresAt: (await renewal).expiresAt };
      } else await expect(renewal).rejects.toMatchObject({ code: "LEASE_LOST" });
    } else {
      const write = store.inventory.remove("none", { kind: "x", name: "y" }, lease);
      if (holds) await write;
      else await expect(write).rejects.toMatchObject({ code: "LEASE_LOST" });
    }
  }
}
