import { strict as assert } from "node:assert";
import { isMillraceError } from "@millrace/core";
import type { Bench } from "../bench.ts";
import { show } from "../bench.ts";
import { check } from "../check.ts";
import { keyOf, keysOf, type Subject } from "../subject.ts";
import {
  createdKeys,
  expectOnly,
  richest,
  settled,
  typedRejection,
  whateverComes,
} from "./expectations.ts";

async function gone(bench: Bench): Promise<void> {
  await bench.until(
    "nothing is left",
    () => bench.list(),
    (left) => left.length === 0,
  );
}

/** Provisions while the platform goes down at the first thing that is to be created, and again once it is back. */
async function provisionThroughOutage(
  bench: Bench,
  subject: Subject,
  ...wanted: Parameters<Subject["request"]>
): Promise<void> {
  const request = subject.request(...wanted);
  const shutDown = bench.fault("shutDown");
  let isDown = false;
  subject.onJournal = async ({ call }) => {
    if (call !== "intend" || isDown) return;
    isDown = true;
    await shutDown();
  };
  const error = await typedRejection("provision while the platform goes down", () =>
    subject.provision(request),
  );
  assert.ok(isDown, `provision failed before it created anything: ${error.message}`);
  assert.equal(error.class, "unreachable", `it failed with ${error.code} of class ${error.class}`);
  assert.ok(error.retryable, `it failed with ${error.code}, which is not retryable`);
  await bench.platform.restore();
  await subject.bringUp(request);
}

export const convergenceChecks = [
  check(
    "LOST-01",
    "lost-reply-create",
    "provision converges after a lost reply",
    async (bench) => {
      const loseNextReply = bench.fault("loseNextReply");
      const first = await bench.subject();
      const wanted = createdKeys(await first.plan(first.request(...richest(bench))));
      for (let lost = 0; lost < wanted.length; lost++) {
        const subject = lost === 0 ? first : await bench.subject();
        const request = subject.request(...richest(bench));
        const keys = createdKeys(await subject.plan(request));
        const intended = new Set<string>();
        subject.onJournal = async (entry) => {
          if (entry.call !== "intend" || intended.has(keyOf(entry))) return;
          intended.add(keyOf(entry));
          if (intended.size === lost + 1) await loseNextReply();
        };
        await whateverComes(() => subject.provision(request));
        await bench.platform.restore();
        await subject.bringUp(request);
        await expectOnly(bench, keys);
        await subject.bringDown();
        await gone(bench);
      }
    },
    { needs: ["loseNextReply"] },
  ),
  check(
    "LOST-02",
    "lost-reply-remove",
    "deprovision converges after a lost reply",
    async (bench) => {
      const subject = await bench.subject();
      await subject.bringUp(subject.request(...richest(bench)));
      const before = (await bench.list()).length;
      await bench.fault("loseNextReply")();
      await whateverComes(() => subject.deprovision());
      await bench.until(
        "the removal whose reply was lost is carried out",
        () => bench.list(),
        ({ length }) => length < before,
      );
      await subject.bringDown();
      await gone(bench);
    },
    { needs: ["loseNextReply"] },
  ),
  check(
    "EVEN-01",
    "lagging-reads",
    "late reads lead neither to a second service nor to leftovers",
    async (bench) => {
      const subject = await bench.subject();
      const request = subject.request(...richest(bench));
      const keys = createdKeys(await subject.plan(request));
      await bench.fault("lag")();
      await subject.provision(request);
      await subject.provision(request);
      await subject.bringUp(request);
      await expectOnly(bench, keys);
      await subject.provision(subject.request("v2"));
      await subject.bringUp(subject.request("v2"));
      await subject.bringDown();
      await gone(bench);
    },
    { needs: ["lag"] },
  ),
  check(
    "DOWN-01",
    "down-while-creating",
    "a first provision converges after an outage in its middle",
    async (bench) => {
      const subject = await bench.subject();
      const keys = createdKeys(await subject.plan(subject.request(...richest(bench))));
      await provisionThroughOutage(bench, subject, ...richest(bench));
      await expectOnly(bench, keys);
    },
    { needs: ["shutDown"] },
  ),
  check(
    "DOWN-01",
    "down-while-updating",
    "an update converges after an outage in its middle",
    async (bench) => {
      const subject = await bench.subject();
      await subject.bringUp(subject.request("v1"));
      const keys = keysOf(await bench.list());
      await provisionThroughOutage(bench, subject, "v2");
      await expectOnly(bench, keys);
    },
    { needs: ["shutDown"] },
  ),
  check(
    "FULL-01",
    "no-room",
    "provision without room fails, leaves what serves, and succeeds once there is room",
    async (bench) => {
      const subject = await bench.subject();
      const old = subject.request("v1");
      const { url } = await subject.bringUp(old);
      const keys = keysOf(await bench.list());
      await bench.fault("fillUp")();
      const error = await typedRejection("provision while there is no room", () =>
        subject.provision(subject.request("v2")),
      );
      assert.equal(error.class, "platform", `it failed with ${error.code} of class ${error.class}`);
      assert.equal(await bench.servedRevision(url), old.revision, "the old revision is gone");
      const { serving } = await subject.inspect();
      assert.equal(serving?.revision, old.revision, "another revision is said to serve");
      await bench.platform.restore();
      await subject.bringUp(subject.request("v2"));
      await expectOnly(bench, keys);
    },
    { needs: ["fillUp"] },
  ),
  check("CONC-01", "two-provisions", "two provisions at once leave one service", async (bench) => {
    const one = await bench.subject();
    const two = await bench.subject({ id: one.id });
    const keys = createdKeys(await one.plan(one.request("v1")));
    const errors = await settled([
      one.provision(one.request("v1")),
      two.provision(two.request("v2")),
    ]);
    for (const error of errors)
      assert.ok(isMillraceError(error), `an error is not typed: ${show(error)}`);
    assert.ok(errors.length < 2, "both failed");
    const revisions = [one.request("v1").revision, two.request("v2").revision];
    await bench.until(
      "one of the two revisions serves",
      async () => (await one.inspect()).serving?.revision ?? "",
      (revision) => revisions.includes(revision),
    );
    await expectOnly(bench, keys);
    await one.bringUp(one.request("v1"));
    assert.deepEqual(keysOf(await bench.list()), keys);
  }),
];
