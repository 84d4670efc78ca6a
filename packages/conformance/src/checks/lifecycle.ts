import { strict as assert } from "node:assert";
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "@millrace/control";
import { type DeploymentRecord, isMillraceError } from "@millrace/core";
import type { Bench } from "../bench.ts";
import { check } from "../check.ts";
import type { FixtureName } from "../fixtures.ts";
import { watchingJournal } from "../journal-watch.ts";
import { keysOf } from "../subject.ts";
import { expectOnly, richest, settled, typedRejection, whateverComes } from "./expectations.ts";

const NAME = "weather";
const THROTTLED_MS = 300;
/** How long a deploy tries to reach a platform that is down. */
const OUTAGE_DEPLOY_SECONDS = 3;

async function deploy(operator: Client, fixture: FixtureName): Promise<DeploymentRecord> {
  const { deployment } = await operator.deploy({ snapshot: fixture }, { name: NAME });
  assert.equal(
    deployment.status,
    "RUNNING",
    `deploy left ${deployment.status}: ${deployment.statusReason}`,
  );
  return deployment;
}

async function recordOf(operator: Client): Promise<DeploymentRecord> {
  return (await operator.deployments.get(NAME)).deployment;
}

async function lastOutcome(operator: Client): Promise<string | undefined> {
  return (await operator.deployments.get(NAME)).lastOperation?.outcome;
}

async function expectServed(
  bench: Bench,
  deployment: DeploymentRecord,
  version: number,
): Promise<void> {
  assert.equal(
    await bench.servedRevision(deployment.url),
    deployment.revision,
    "another revision answers",
  );
  assert.equal((await bench.invoke(deployment.url)).version, version);
}

async function snapshotId(operator: Client, fixture: FixtureName): Promise<string> {
  return (await operator.snapshots.get(fixture)).snapshot.id;
}

export const lifecycleChecks = [
  check(
    "LIFE-01",
    "deploy",
    "deploy ends with RUNNING and a service that answers",
    async (bench) => {
      const operator = await bench.operator();
      const deployment = await deploy(operator, "v1");
      assert.equal(deployment.snapshotId, await snapshotId(operator, "v1"));
      await expectServed(bench, deployment, 1);
    },
  ),
  check("LIFE-02", "deploy-unchanged", "deploy of the same again does nothing", async (bench) => {
    const operator = await bench.operator();
    const [fixture] = richest(bench);
    await deploy(operator, fixture);
    const again = await operator.deploy({ snapshot: fixture }, { name: NAME });
    assert.equal(again.plan.action, "no-op");
    assert.equal(again.operation, null, "an operation was recorded");
  }),
  check("LIFE-03", "deploy-update", "deploy of another snapshot ends on it", async (bench) => {
    const operator = await bench.operator();
    await deploy(operator, "v1");
    const deployment = await deploy(operator, "v2");
    assert.equal(deployment.snapshotId, await snapshotId(operator, "v2"));
    await expectServed(bench, deployment, 2);
  }),
  check(
    "LIFE-04",
    "deploy-fails",
    "a failed update leaves it RUNNING on the old snapshot",
    async (bench) => {
      const operator = await bench.operator();
      await deploy(operator, "v1");
      await typedRejection("deploy of a service that does not start", () =>
        deploy(operator, "init-fails"),
      );
      const deployment = await recordOf(operator);
      assert.equal(deployment.status, "RUNNING", deployment.statusReason ?? "");
      assert.equal(deployment.snapshotId, await snapshotId(operator, "v1"), "the record moved");
      assert.equal(await lastOutcome(operator), "failed");
      await expectServed(bench, deployment, 1);
    },
    { requires: ({ keepsOldOnFailure }) => keepsOldOnFailure },
  ),
  check(
    "LIFE-05",
    "deprovision-and-return",
    "deprovision keeps the record and provision brings it back",
    async (bench) => {
      const operator = await bench.operator();
      const [fixture] = richest(bench);
      await deploy(operator, fixture);
      assert.equal((await operator.deployments.deprovision(NAME)).status, "ABSENT");
      await expectOnly(bench, []);
      assert.equal((await recordOf(operator)).status, "ABSENT");
      const { deployment } = await operator.deployments.provision(NAME);
      assert.equal(deployment.status, "RUNNING");
      await expectServed(bench, deployment, 1);
    },
  ),
  check("LIFE-06", "delete", "delete removes record and resources", async (bench) => {
    const operator = await bench.operator();
    await deploy(operator, richest(bench)[0]);
    await operator.deployments.delete(NAME);
    await expectOnly(bench, []);
    const { items } = await operator.deployments.list();
    assert.deepEqual(items, []);
  }),
  check(
    "LIFE-07",
    "drift-heals",
    "removed resources are noticed and made again",
    async (bench) => {
      const remove = bench.fault("remove");
      const operator = await bench.operator();
      const [fixture] = richest(bench);
      await deploy(operator, fixture);
      const keys = keysOf(await bench.list());
      for (const resource of await bench.list()) await remove(resource);
      const { status } = await bench.until(
        "refresh notices that everything is gone",
        () => operator.deployments.refresh(NAME),
        (record) => record.status !== "RUNNING",
      );
      assert.equal(status, "ABSENT");
      await expectServed(bench, await deploy(operator, fixture), 1);
      await expectOnly(bench, keys);
    },
    { needs: ["remove"] },
  ),
  check(
    "LIFE-08",
    "stopped-heals",
    "a stopped service is healed",
    async (bench) => {
      const operator = await bench.operator();
      const { id } = await deploy(operator, "v1");
      const keys = keysOf(await bench.list());
      await bench.fault("stop")(id);
      await expectServed(bench, await deploy(operator, "v1"), 1);
      await expectOnly(bench, keys);
    },
    { needs: ["stop"] },
  ),
  check(
    "LIFE-09",
    "unreachable-unknown",
    "an unreachable platform leaves UNKNOWN and wipes nothing",
    async (bench) => {
      const operator = await bench.operator();
      await deploy(operator, richest(bench)[0]);
      const before = await operator.deployments.get(NAME);
      await bench.fault("cutOff")();
      const error = await typedRejection("refresh while the platform is cut off", () =>
        operator.deployments.refresh(NAME, { timeoutSeconds: 1 }),
      );
      // Out of time while the platform cannot be asked: both are true.
      assert.ok(
        error.class === "unreachable" || error.class === "timeout",
        `it failed with ${error.code} of class ${error.class}`,
      );
      const { deployment, inventory } = await operator.deployments.get(NAME);
      assert.equal(deployment.status, "UNKNOWN");
      assert.equal(deployment.url, before.deployment.url, "the URL was wiped");
      assert.deepEqual(deployment.metadata, before.deployment.metadata, "the metadata was wiped");
      assert.deepEqual(keysOf(inventory), keysOf(before.inventory), "the inventory was wiped");
      await bench.platform.restore();
      assert.equal((await operator.deployments.refresh(NAME)).status, "RUNNING");
    },
    { needs: ["cutOff"] },
  ),
  check(
    "LIFE-10",
    "deadline",
    "a deploy at its deadline is picked up by refresh",
    async (bench) => {
      // Images are there already: the time is the platform's.
      await bench.subject();
      const operator = await bench.operator();
      // Time enough for the platform to begin, and too little for the service to be ready.
      const timeoutSeconds = 3 * (bench.harness.patience ?? 1);
      const environment = { CONFORMANCE_SLOW_MS: String(timeoutSeconds * 1500) };
      const error = await typedRejection("a deploy past its deadline", () =>
        operator.deploy({ snapshot: "slow" }, { name: NAME, timeoutSeconds, environment }),
      );
      assert.equal(error.class, "timeout", `it failed with ${error.code} of class ${error.class}`);
      assert.equal((await recordOf(operator)).status, "PENDING");
      assert.equal(await lastOutcome(operator), "timed_out");
      const deployment = await bench.until(
        "refresh finds it running",
        () => operator.deployments.refresh(NAME),
        ({ status }) => status === "RUNNING",
      );
      await expectServed(bench, deployment, 1);
    },
  ),
  check("LIFE-11", "caller-aborts", "an aborted deploy is recorded and healed", async (bench) => {
    const abort = new AbortController();
    const operator = await bench.operator(
      watchingJournal(bench.flavor, (journal) => ({
        ...journal,
        intend: async (resource) => {
          abort.abort();
          await journal.intend(resource);
        },
      })),
    );
    const error = await typedRejection("a deploy that is aborted", () =>
      operator.deploy({ snapshot: "slow" }, { name: NAME, signal: abort.signal }),
    );
    assert.equal(error.class, "aborted", `it failed with ${error.code} of class ${error.class}`);
    await deploy(operator, "v1");
    const { items } = await operator.deployments.history(NAME);
    assert.ok(
      items.some(({ outcome }) => outcome === "aborted"),
      "no operation is recorded as aborted",
    );
  }),
  check("LIFE-12", "rollback", "rollback brings the snapshot before back", async (bench) => {
    const operator = await bench.operator();
    await deploy(operator, "v1");
    await deploy(operator, "v2");
    const { deployment } = await operator.deployments.rollback(NAME);
    assert.equal(deployment.snapshotId, await snapshotId(operator, "v1"));
    await expectServed(bench, deployment, 1);
  }),
  check(
    "LIFE-12",
    "rollback-unfinished",
    "rollback goes back from a deploy that nobody saw come to its end",
    async (bench) => {
      const operator = await bench.operator();
      const before = await deploy(operator, "v1");
      const timeoutSeconds = 3 * (bench.harness.patience ?? 1);
      const environment = { CONFORMANCE_SLOW_MS: String(timeoutSeconds * 1500) };
      await typedRejection("a deploy past its deadline", () =>
        operator.deploy({ snapshot: "slow" }, { name: NAME, timeoutSeconds, environment }),
      );
      await bench.until(
        "the platform has rolled it out",
        () => bench.servedRevision(before.url),
        (revision) => revision !== null && revision !== before.revision,
      );
      const { deployment } = await operator.deployments.rollback(NAME);
      assert.equal(deployment.snapshotId, before.snapshotId, "it did not go back");
      await expectServed(bench, deployment, 1);
    },
    { requires: ({ stableUrl, zeroDowntime }) => stableUrl && zeroDowntime },
  ),
  check(
    "LIFE-13",
    "throttled-deploy",
    "a deploy waits out throttling",
    async (bench) => {
      const operator = await bench.operator();
      await bench.fault("throttle")();
      const restored = sleep(THROTTLED_MS).then(() => bench.platform.restore());
      const { deployment } = await operator.deploy({ snapshot: "v1" }, { name: NAME });
      await restored;
      await expectServed(bench, deployment, 1);
    },
    { needs: ["throttle"] },
  ),
  check(
    "LIFE-14",
    "two-operators",
    "of two operators at once the loser gets a conflict",
    async (bench) => {
      const one = await bench.operator();
      const two = await bench.operator();
      await deploy(one, "v1");
      const keys = keysOf(await bench.list());
      const deploys = [
        one.deploy({ snapshot: "slow" }, { name: NAME }),
        two.deploy({ snapshot: "slow" }, { name: NAME }),
      ];
      const lost = await settled(deploys);
      assert.equal(lost.length, 1, "just one operator must lose");
      const [reason] = lost;
      assert.ok(
        isMillraceError(reason) && reason.class === "conflict",
        `the loser failed with ${String(reason)}`,
      );
      await expectOnly(bench, keys);
      assert.equal((await one.deployments.refresh(NAME)).status, "RUNNING");
    },
  ),
  check(
    "LIFE-15",
    "down-midway",
    "an outage in the middle of a deploy leaves UNKNOWN, and the next deploy heals",
    async (bench) => {
      const shutDown = bench.fault("shutDown");
      let mayGoDown = false;
      let outage: Promise<void> | null = null;
      const operator = await bench.operator(
        watchingJournal(bench.flavor, (journal) => ({
          ...journal,
          intend: async (resource) => {
            if (mayGoDown) outage ??= shutDown();
            await outage;
            await journal.intend(resource);
          },
        })),
      );
      await deploy(operator, "v1");
      const before = await operator.deployments.get(NAME);
      const keys = keysOf(await bench.list());
      mayGoDown = true;
      const timeoutSeconds = OUTAGE_DEPLOY_SECONDS * (bench.harness.patience ?? 1);
      await typedRejection("a deploy in which the platform goes down", () =>
        operator.deploy({ snapshot: "v2" }, { name: NAME, timeoutSeconds }),
      );
      assert.ok(outage !== null, "the deploy failed before the platform went down");
      await whateverComes(() => operator.deployments.refresh(NAME, { timeoutSeconds: 1 }));
      const { deployment, inventory } = await operator.deployments.get(NAME);
      assert.equal(deployment.status, "UNKNOWN", deployment.statusReason ?? "");
      assert.equal(deployment.url, before.deployment.url, "the URL was wiped");
      const lost = keysOf(before.inventory).filter((key) => !keysOf(inventory).includes(key));
      assert.deepEqual(lost, [], "the inventory was wiped");
      mayGoDown = false;
      await bench.platform.restore();
      await expectServed(bench, await deploy(operator, "v2"), 2);
      await expectOnly(bench, keys);
    },
    { needs: ["shutDown"] },
  ),
  check(
    "LIFE-16",
    "paused-heals",
    "a suspended service is noticed and healed",
    async (bench) => {
      const operator = await bench.operator();
      const { id } = await deploy(operator, "v1");
      const keys = keysOf(await bench.list());
      await bench.fault("pause")(id);
      await bench.until(
        "refresh notices it, or it runs again",
        async () => {
          const { status, url } = await operator.deployments.refresh(NAME);
          return { status, served: await bench.servedRevision(url) };
        },
        ({ status, served }) => (status === "RUNNING") === (served !== null),
      );
      await expectServed(bench, await deploy(operator, "v1"), 1);
      await expectOnly(bench, keys);
    },
    { needs: ["pause"] },
  ),
  check(
    "LIFE-17",
    "no-room-deploy",
    "a deploy without room leaves it RUNNING on the old snapshot",
    async (bench) => {
      const operator = await bench.operator();
      await deploy(operator, "v1");
      await bench.fault("fillUp")();
      await typedRejection("a deploy without room", () => deploy(operator, "v2"));
      const deployment = await recordOf(operator);
      assert.equal(deployment.status, "RUNNING", deployment.statusReason ?? "");
      assert.equal(await lastOutcome(operator), "failed");
      await expectServed(bench, deployment, 1);
      await bench.platform.restore();
      await expectServed(bench, await deploy(operator, "v2"), 2);
    },
    { needs: ["fillUp"], requires: ({ keepsOldOnFailure }) => keepsOldOnFailure },
  ),
  check(
    "LIFE-18",
    "registry-waited-out",
    "a deploy waits until the registry is well",
    async (bench) => {
      const failRegistry = bench.fault("failRegistry");
      const operator = await bench.operator();
      const troubles = [
        ["throttled", "v1", 1],
        ["broken", "v2", 2],
        ["cut", "slow", 1],
      ] as const;
      for (const [how, fixture, version] of troubles) {
        await failRegistry(how);
        // It hangs up once.
        const restored =
          how === "cut" ? null : sleep(THROTTLED_MS).then(() => bench.platform.restore());
        await expectServed(bench, await deploy(operator, fixture), version);
        await restored;
      }
    },
    { needs: ["failRegistry"], requires: ({ artefact }) => artefact === "image" },
  ),
  check(
    "LIFE-19",
    "registry-denies-deploy",
    "a deploy that the registry denies changes nothing",
    async (bench) => {
      const failRegistry = bench.fault("failRegistry");
      const operator = await bench.operator();
      await deploy(operator, "v1");
      await failRegistry("unauthorized");
      const error = await typedRejection("a deploy that the registry denies", () =>
        deploy(operator, "v2"),
      );
      assert.equal(error.class, "platform", `it failed with ${error.code} of class ${error.class}`);
      const deployment = await recordOf(operator);
      assert.equal(deployment.status, "RUNNING", deployment.statusReason ?? "");
      assert.equal(deployment.snapshotId, await snapshotId(operator, "v1"), "the record moved");
      await expectServed(bench, deployment, 1);
      await bench.platform.restore();
      await expectServed(bench, await deploy(operator, "v2"), 2);
    },
    { needs: ["failRegistry"], requires: ({ artefact }) => artefact === "image" },
  ),
];
