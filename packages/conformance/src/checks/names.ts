import { strict as assert } from "node:assert";
import type { FoundDeployment } from "@millrace/core";
import { NotTestable } from "../bench.ts";
import { check } from "../check.ts";
import { keysOf, type Subject } from "../subject.ts";
import { picture, richest } from "./expectations.ts";

async function discovered(subject: Subject): Promise<readonly FoundDeployment[]> {
  const { deployer } = subject;
  if (deployer.discover === undefined) throw new NotTestable("the deployer has no `discover`");
  return deployer.discover(subject.context());
}

export const nameChecks = [
  check("NAME-01", "names-that-fold", "names that fold alike share nothing", async (bench) => {
    const names = ["My.Service", "my_service", "my-service"];
    const subjects = await Promise.all(names.map((name) => bench.subject({ name })));
    for (const subject of subjects) await subject.bringUp(subject.request(...richest(bench)));
    const all = subjects.flatMap((subject) => [...subject.inventory.keys()]);
    assert.deepEqual(all.length, new Set(all).size, `resources are shared: ${all.join(", ")}`);
    for (const subject of subjects)
      assert.ok((await bench.servedRevision((await subject.inspect()).url)) !== null);
  }),
  check("NAME-02", "rename", "a renamed deployment keeps its resources", async (bench) => {
    const subject = await bench.subject({ name: "before" });
    await subject.bringUp(subject.request(...richest(bench)));
    const before = keysOf(await bench.list());
    subject.name = "after";
    const seen = await subject.inspect();
    assert.equal(seen.state, "running", "the renamed deployment is not found any more");
    await subject.bringUp(subject.request(...richest(bench, "conformance-secret-value-2")));
    assert.deepEqual(keysOf(await bench.list()), before, "the rename made or removed resources");
  }),
  check("NAME-03", "long-names", "any allowed name works", async (bench) => {
    for (const name of [`A${"b._-C".repeat(25)}9Z`, "0", "Z.z_9"]) {
      const subject = await bench.subject({ name });
      await subject.bringUp(subject.request(...richest(bench)));
      await subject.bringDown();
    }
  }),
  check("NAME-04", "similar-ids", "similar ids share nothing", async (bench) => {
    const ids = [
      "01890a5d-ac96-774b-bcce-b302099a8057",
      "01890a5d-ac96-774b-bcce-b302099a8058",
      "11890a5d-ac96-774b-bcce-b302099a8057",
    ];
    const subjects = await Promise.all(ids.map((id) => bench.subject({ id, name: "weather" })));
    for (const subject of subjects) await subject.provision(subject.request("v1"));
    const all = subjects.flatMap((subject) => [...subject.inventory.keys()]);
    assert.deepEqual(all.length, new Set(all).size, `resources are shared: ${all.join(", ")}`);
  }),
  check("NAME-05", "tagged", "every resource is tagged as ours", async (bench) => {
    const subject = await bench.subject();
    await subject.bringUp(subject.request(...richest(bench)));
    const tagged = (await bench.list()).filter(({ tags }) => tags !== null);
    if (tagged.length === 0) throw new NotTestable("no resource of this platform carries tags");
    const bare = tagged.filter(({ tags }) => !Object.values(tags ?? {}).includes(subject.id));
    assert.deepEqual(keysOf(bare), [], "these resources do not carry the deployment's id");
  }),
  check("NAME-06", "discover", "discover names what there is, and no more", async (bench) => {
    const [one, other] = [
      await bench.subject({ name: "one" }),
      await bench.subject({ name: "other" }),
    ];
    for (const subject of [one, other]) await subject.bringUp(subject.request(...richest(bench)));
    const before = await picture(bench);
    const found = await discovered(one);
    assert.equal(await picture(bench), before, "discover changed something");
    for (const subject of [one, other]) {
      const { id, name, target } = subject;
      const it = found.find((each) => each.id === id);
      assert.ok(it !== undefined, `deployment ${name} was not discovered`);
      assert.deepEqual([it.name, it.project], [name, target.project], "name or project is wrong");
      const named = keysOf(it.resources);
      for (const key of keysOf(await subject.resources()))
        assert.ok(named.includes(key), `${key} was not discovered`);
    }
    // Others may have theirs on the same platform.
    assert.equal(found.length, new Set(found.map(({ id }) => id)).size, "one is named twice");
    await other.bringDown();
    await bench.until(
      "what is gone is not discovered any more",
      async () => (await discovered(one)).map(({ id }) => id),
      (left) => left.includes(one.id) && !left.includes(other.id),
    );
  }),
  check(
    "NAME-06",
    "discover-leftovers",
    "discover names what only a part is left of",
    async (bench) => {
      const subject = await bench.subject();
      await subject.bringUp(subject.request(...richest(bench)));
      await discovered(subject);
      const remove = bench.fault("remove");
      for (const resource of await subject.resources()) {
        await remove(resource);
        const isLeft = (await subject.resources()).length > 0;
        await bench.until(
          `discover says what is left after ${resource.kind} ${resource.name} was removed`,
          async () => (await discovered(subject)).map(({ id }) => id),
          (found) => found.includes(subject.id) === isLeft,
        );
      }
    },
    { needs: ["remove"] },
  ),
];
