import { strict as assert } from "node:assert";
import type { Observation } from "@millrace/core";
import { type Bench, show } from "../bench.ts";
import { check } from "../check.ts";
import { keysOf, type Subject } from "../subject.ts";
import { picture, richest } from "./expectations.ts";

async function expectSameAsPlatform(bench: Bench, subject: Subject): Promise<Observation> {
  let seen = await subject.inspect();
  await bench.until(
    "the observed resources are those on the platform",
    async () => {
      seen = await subject.inspect();
      return { observed: keysOf(seen.resources), existing: keysOf(await bench.list()) };
    },
    ({ observed, existing }) => JSON.stringify(observed) === JSON.stringify(existing),
  );
  return seen;
}

/** Breaks a service that runs, and waits until what is said of it is true. */
async function expectHonest(bench: Bench, fault: "stop" | "kill" | "pause"): Promise<Subject> {
  const breakService = bench.fault(fault);
  const subject = await bench.subject();
  const { url } = await subject.bringUp(subject.request("v1"));
  const before = fault === "pause" ? null : await bench.processStart(url);
  await breakService(subject.id);
  if (before !== null)
    await bench.until(
      `the process that served before the harness's fault \`${fault}\` serves no more`,
      () => bench.processStart(url),
      (start) => start !== before,
    );
  await bench.until(
    "it is observed as not running, or runs again",
    async () => {
      const { state } = await subject.inspect();
      return { state, served: await bench.servedRevision(url) };
    },
    ({ state, served }) => (state === "running") === (served !== null),
  );
  return subject;
}

export const observationChecks = [
  check("OBS-01", "inspect-never-was", "what never was is absent", async (bench) => {
    const subject = await bench.subject();
    const seen = await subject.inspect();
    const { state, url, serving, resources } = seen;
    assert.deepEqual(
      { state, url, serving, resources },
      { state: "absent", url: null, serving: null, resources: [] },
    );
  }),
  check("OBS-01", "inspect-after-deprovision", "what was removed is absent", async (bench) => {
    const subject = await bench.subject();
    await subject.bringUp(subject.request("v1"));
    await subject.bringDown();
    const seen = await bench.until(
      "it is absent",
      () => subject.inspect(),
      ({ state }) => state === "absent",
    );
    assert.deepEqual([seen.serving, seen.resources], [null, []], show(seen));
  }),
  check(
    "OBS-02",
    "inspect-resources",
    "the observed resources are those that exist",
    async (bench) => {
      const subject = await bench.subject();
      await subject.bringUp(subject.request(...richest(bench)));
      await expectSameAsPlatform(bench, subject);
    },
  ),
  check(
    "OBS-03",
    "rollout-honest",
    "complete and serving are said only when they are true",
    async (bench) => {
      const subject = await bench.subject();
      const { url } = await subject.bringUp(subject.request("v1"));
      const next = subject.request("slow");
      let seen = await subject.provision(next);
      await bench.until(
        "the slow revision serves",
        async () => {
          const before = await bench.servedRevision(url);
          seen = await subject.inspect();
          const after = await bench.servedRevision(seen.url ?? url);
          if (seen.serving !== null && seen.state === "running")
            assert.ok(
              [before, after].includes(seen.serving.revision),
              `revision ${seen.serving.revision} is said to serve, and ${after} does`,
            );
          if (seen.rollout?.revision === next.revision && seen.rollout.phase === "complete")
            assert.equal(
              after,
              next.revision,
              "the roll-out is said to be complete, and another revision serves",
            );
          return after;
        },
        (revision) => revision === next.revision,
      );
      await subject.bringUp(next);
    },
  ),
  check(
    "OBS-04",
    "inspect-identity",
    "revision and snapshot are those of the request",
    async (bench) => {
      const subject = await bench.subject();
      for (const fixture of ["v1", "v2"] as const) {
        const request = subject.request(fixture);
        await subject.rollOut(request);
        const seen = await bench.until(
          "the roll-out is complete",
          () => subject.inspect(),
          ({ rollout }) => rollout?.phase === "complete",
        );
        assert.deepEqual(seen.serving, {
          revision: request.revision,
          snapshotId: request.snapshot.id,
        });
        assert.equal(seen.rollout?.revision, request.revision);
      }
    },
  ),
  check("OBS-05", "inspect-changes-nothing", "inspect changes nothing", async (bench) => {
    const subject = await bench.subject();
    await subject.inspect();
    assert.deepEqual(await bench.list(), [], "inspect made something");
    await subject.bringUp(subject.request("v1"));
    const before = await picture(bench);
    await subject.inspect();
    assert.equal(await picture(bench), before, "inspect changed the platform");
  }),
  check(
    "OBS-06",
    "inspect-stopped",
    "a stopped service is not observed as running",
    async (bench) => void (await expectHonest(bench, "stop")),
    { needs: ["stop"] },
  ),
  check(
    "OBS-06",
    "inspect-killed",
    "a killed service is not observed as running, or runs again",
    async (bench) => void (await expectHonest(bench, "kill")),
    { needs: ["kill"] },
  ),
  check(
    "OBS-07",
    "inspect-removed",
    "what is left after a removal is told",
    async (bench) => {
      const remove = bench.fault("remove");
      const subject = await bench.subject();
      await subject.bringUp(subject.request(...richest(bench)));
      for (const resource of await bench.list()) {
        await remove(resource);
        const seen = await expectSameAsPlatform(bench, subject);
        assert.equal(seen.state === "absent", seen.resources.length === 0, show(seen));
      }
    },
    { needs: ["remove"] },
  ),
  check(
    "OBS-08",
    "inspect-without-memory",
    "inventory and metadata make no difference",
    async (bench) => {
      const subject = await bench.subject();
      await subject.bringUp(subject.request(...richest(bench)));
      const known = await subject.inspect();
      const stranger = await bench.subject({ id: subject.id });
      const seen = await stranger.inspect();
      assert.deepEqual(
        {
          state: seen.state,
          url: seen.url,
          serving: seen.serving,
          resources: keysOf(seen.resources),
        },
        {
          state: known.state,
          url: known.url,
          serving: known.serving,
          resources: keysOf(known.resources),
        },
      );
    },
  ),
  check("OBS-09", "metadata-kept", "metadata is JSON and is not lost", async (bench) => {
    const subject = await bench.subject();
    const provisioned = await subject.provision(subject.request("v1"));
    const seen = [
      provisioned,
      await subject.bringUp(subject.request("v1")),
      await subject.inspect(),
      await subject.inspect(),
    ];
    let known: string[] = [];
    for (const { metadata } of seen) {
      assert.deepEqual(
        JSON.parse(JSON.stringify(metadata)),
        metadata,
        "metadata is not plain JSON",
      );
      const lost = known.filter((key) => !(key in metadata));
      assert.deepEqual(lost, [], "these facts were lost");
      known = Object.keys(metadata);
    }
  }),
  check(
    "OBS-10",
    "inspect-paused",
    "a suspended service is noticed and brought back",
    async (bench) => {
      const subject = await expectHonest(bench, "pause");
      const wanted = subject.request("v1");
      const { state } = await subject.inspect();
      const { action } = await subject.plan(wanted);
      if (state !== "running")
        assert.notEqual(action, "no-op", "nothing is planned for what does not run");
      const { url } = await subject.bringUp(wanted);
      assert.equal((await bench.invoke(url)).version, 1);
    },
    { needs: ["pause"] },
  ),
];
