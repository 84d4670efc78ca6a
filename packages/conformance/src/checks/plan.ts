import { strict as assert } from "node:assert";
import { canonicalJson, type Plan } from "@millrace/core";
import { type Bench, show } from "../bench.ts";
import { check } from "../check.ts";
import { keyOf, keysOf } from "../subject.ts";
import { createdKeys, fingerprints, picture, richest } from "./expectations.ts";

function expectCoherent(plan: Plan): void {
  const actions = new Set(plan.changes.map(({ action }) => action));
  const nothing = [...actions].every((action) => action === "no-op");
  assert.equal(
    plan.action === "no-op",
    nothing,
    `the plan's action is ${plan.action}: ${show(plan)}`,
  );
  assert.equal(
    plan.action === "replace",
    actions.has("replace"),
    `the plan's action is ${plan.action}: ${show(plan)}`,
  );
  if (plan.action === "create")
    assert.ok(
      actions.has("create"),
      `the plan's action is create, and no resource of it is created: ${show(plan)}`,
    );
}

/** The resources that differ now from what they were, and those that came or went. */
async function changedSince(bench: Bench, before: ReadonlyMap<string, string>): Promise<string[]> {
  const after = await fingerprints(bench);
  return [...new Set([...before.keys(), ...after.keys()])]
    .filter((key) => before.get(key) !== after.get(key))
    .sort();
}

async function expectExactUpdate(bench: Bench, to: "v2" | "settings"): Promise<void> {
  const { subject, before, request } = await prepared(bench, to);
  const plan = await subject.plan(request);
  assert.ok(
    plan.action === "update" || plan.action === "replace",
    `the plan of a change is ${plan.action}`,
  );
  const changed = plan.changes.filter(({ action }) => action !== "no-op");
  for (const { action, kind, name, fields } of changed) {
    if (action !== "update" && action !== "replace") continue;
    assert.ok(fields.length > 0, `the plan updates ${kind} ${name} and names no field`);
    for (const field of fields) {
      const same = canonicalJson(field.before ?? null) === canonicalJson(field.after ?? null);
      assert.ok(
        !same || field.field.startsWith("secrets."),
        `the field ${field.field} does not differ`,
      );
    }
  }
  await subject.bringUp(request);
  assert.deepEqual(
    await changedSince(bench, before),
    keysOf(changed),
    "provision changed other resources than the plan names",
  );
}

async function prepared(bench: Bench, to: "v2" | "settings") {
  const subject = await bench.subject();
  await subject.bringUp(subject.request("v1"));
  const before = await fingerprints(bench);
  const request =
    to === "v2"
      ? subject.request("v2")
      : subject.request("v1", { settings: bench.harness.otherSettings });
  return { subject, before, request };
}

export const planChecks = [
  check(
    "PLAN-01",
    "plan-changes-nothing-new",
    "the plan of a new deployment changes nothing",
    async (bench) => {
      const subject = await bench.subject();
      const before = await picture(bench);
      await subject.plan(subject.request(...richest(bench)));
      assert.equal(await picture(bench), before, "plan changed the platform");
    },
  ),
  check(
    "PLAN-01",
    "plan-changes-nothing-update",
    "the plan of an update changes nothing",
    async (bench) => {
      const subject = await bench.subject();
      const { url } = await subject.bringUp(subject.request("v1"));
      const before = await picture(bench);
      const revision = await bench.servedRevision(url);
      await subject.plan(subject.request(...richest(bench)));
      await subject.plan(subject.request("v2"));
      assert.equal(await picture(bench), before, "plan changed the platform");
      assert.equal(await bench.servedRevision(url), revision, "plan changed what serves");
    },
  ),
  check(
    "PLAN-02",
    "plan-create-exact",
    "the plan of a new deployment names just what is created",
    async (bench) => {
      const subject = await bench.subject();
      const request = subject.request(...richest(bench));
      const plan = await subject.plan(request);
      assert.equal(plan.action, "create");
      await subject.bringUp(request);
      assert.deepEqual(
        createdKeys(plan),
        keysOf(await bench.list()),
        "the plan names other resources than exist",
      );
    },
  ),
  check(
    "PLAN-03",
    "plan-no-op",
    "unchanged means no-op, and provision changes nothing",
    async (bench) => {
      const subject = await bench.subject();
      const request = subject.request(...richest(bench));
      await subject.bringUp(request);
      const plan = await subject.plan(request);
      assert.equal(plan.action, "no-op", `the plan of what serves already is ${show(plan)}`);
      assert.ok(
        plan.changes.every(({ action }) => action === "no-op"),
        show(plan),
      );
      const before = await fingerprints(bench);
      await subject.bringUp(request);
      assert.deepEqual(
        await changedSince(bench, before),
        [],
        "provision changed what the plan called a no-op",
      );
    },
  ),
  check(
    "PLAN-04",
    "plan-update-exact",
    "the plan of another snapshot names just what changes",
    (bench) => expectExactUpdate(bench, "v2"),
  ),
  check(
    "PLAN-04",
    "plan-settings-exact",
    "the plan of other settings names just what changes",
    (bench) => expectExactUpdate(bench, "settings"),
  ),
  check("PLAN-05", "plan-coherent", "the plan's action fits its changes", async (bench) => {
    const subject = await bench.subject();
    const request = subject.request("v1");
    expectCoherent(await subject.plan(request));
    await subject.bringUp(request);
    expectCoherent(await subject.plan(request));
    expectCoherent(await subject.plan(subject.request("v2")));
    expectCoherent(await subject.plan(subject.request(...richest(bench))));
  }),
  check(
    "PLAN-06",
    "plan-drift",
    "a resource that was removed is in the plan",
    async (bench) => {
      const remove = bench.fault("remove");
      const subject = await bench.subject();
      const request = subject.request(...richest(bench));
      await subject.bringUp(request);
      let removed = 0;
      for (const resource of await bench.list()) {
        await remove(resource);
        if (!keysOf(await bench.list()).includes(keyOf(resource))) removed++;
        await bench.until(
          `the plan heals the missing ${keyOf(resource)}, or it is back`,
          async () => ({
            planned: (await subject.plan(request)).action,
            back: keysOf(await bench.list()).includes(keyOf(resource)),
          }),
          ({ planned, back }) => planned !== "no-op" || back,
        );
        await subject.bringUp(request);
      }
      assert.ok(
        removed > 0,
        "after the harness's fault `remove`, `list` still showed the resource, with each of them: correct the harness",
      );
    },
    { needs: ["remove"] },
  ),
  check(
    "PLAN-07",
    "plan-interrupts",
    "an update does not announce an interruption",
    async (bench) => {
      const subject = await bench.subject();
      await subject.bringUp(subject.request("v1"));
      assert.equal((await subject.plan(subject.request("v2"))).interrupts, false);
    },
    { requires: ({ zeroDowntime }) => zeroDowntime },
  ),
];
