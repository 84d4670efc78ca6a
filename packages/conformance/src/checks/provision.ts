import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { show } from "../bench.ts";
import { check } from "../check.ts";
import { keysOf } from "../subject.ts";
import { fingerprints, richest } from "./expectations.ts";
import { withCallers } from "./load.ts";

const VARIABLE = "CONFORMANCE_VALUE";
/** So many that whatever handles callers one after the other, or some at a time, shows. */
const CALLERS = 60;

async function digestOf(folder: string): Promise<string> {
  const hash = createHash("sha256");
  for (const name of (await readdir(folder, { recursive: true })).sort()) {
    const file = join(folder, name);
    hash.update(name);
    try {
      hash.update(await readFile(file));
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EISDIR")) throw error;
    }
  }
  return hash.digest("hex");
}

export const provisionChecks = [
  check("PROV-01", "provision-serves", "the wanted revision comes to serve", async (bench) => {
    const subject = await bench.subject();
    const seen = await subject.bringUp(subject.request("v1"));
    assert.equal(seen.rollout?.phase, "complete", `the roll-out is ${show(seen.rollout)}`);
    assert.equal((await bench.invoke(seen.url)).version, 1);
  }),
  check(
    "PROV-02",
    "provision-updates-in-place",
    "another snapshot updates the same resources",
    async (bench) => {
      const subject = await bench.subject();
      await subject.bringUp(subject.request("v1"));
      const before = keysOf(await bench.list());
      const seen = await subject.bringUp(subject.request("v2"));
      assert.equal((await bench.invoke(seen.url)).version, 2);
      assert.deepEqual(keysOf(await bench.list()), before, "an update made or removed resources");
    },
  ),
  check(
    "PROV-03",
    "provision-environment",
    "the environment reaches the service and is rolled out",
    async (bench) => {
      const subject = await bench.subject();
      for (const value of ['a b="c" $HOME %PATH%', "grüße, 世界"]) {
        const seen = await subject.bringUp(
          subject.request("v1", { environment: { [VARIABLE]: value } }),
        );
        const report = await bench.invoke(seen.url, { environment: VARIABLE });
        assert.equal(report.environment, value);
      }
    },
  ),
  check("PROV-04", "provision-settings", "other settings are rolled out", async (bench) => {
    const subject = await bench.subject();
    await subject.bringUp(subject.request("v1"));
    await subject.bringUp(subject.request("v1", { settings: bench.harness.otherSettings }));
  }),
  check(
    "PROV-05",
    "snapshot-untouched",
    "the snapshot's folder stays as it is",
    async (bench) => {
      const subject = await bench.subject();
      const request = subject.request("v1");
      assert.ok(request.artefact.kind === "bundle");
      const before = await digestOf(request.artefact.directory);
      const { url } = await subject.bringUp(request);
      await bench.invoke(url);
      await subject.bringDown();
      assert.equal(
        await digestOf(request.artefact.directory),
        before,
        "the snapshot's folder was changed",
      );
    },
    { requires: ({ artefact }) => artefact === "bundle" },
  ),
  check(
    "PROV-06",
    "provision-while-called",
    "callers of a stopped service do not hold up the next revision",
    async (bench) => {
      const subject = await bench.subject();
      const { url } = await subject.bringUp(subject.request("v1"));
      await bench.fault("stop")(subject.target.id);
      await withCallers(url, CALLERS, async () => {
        await subject.bringUp(subject.request("v2"));
      });
    },
    { needs: ["stop"] },
  ),
  check(
    "IDEM-01",
    "provision-twice",
    "provision again leaves the same resources",
    async (bench) => {
      const subject = await bench.subject();
      const request = subject.request(...richest(bench));
      const first = await subject.bringUp(request);
      const before = keysOf(await bench.list());
      const again = await subject.bringUp(request);
      await subject.bringUp(request);
      assert.deepEqual(
        keysOf(await bench.list()),
        before,
        "provision again made or removed resources",
      );
      assert.equal(again.url, first.url);
    },
  ),
  check(
    "IDEM-02",
    "provision-while-progressing",
    "provision again goes on where it stood",
    async (bench) => {
      const subject = await bench.subject();
      const request = subject.request("slow");
      // A deployer may wait for the end, or come back at once: then the abort has nothing to do.
      const operator = new AbortController();
      const first = subject.provision(request, operator.signal).catch(() => null);
      const seen = await bench.until(
        "the roll-out is under way",
        () => subject.inspect(),
        ({ rollout }) => rollout?.revision === request.revision,
      );
      assert.notEqual(seen.rollout?.phase, "complete", "the slow roll-out was complete at once");
      operator.abort(new Error("the operator goes away"));
      await first;
      const before = await fingerprints(bench);
      await subject.provision(request);
      assert.deepEqual(await fingerprints(bench), before, "the roll-out was begun anew");
      await subject.bringUp(request);
    },
  ),
  check(
    "IDEM-03",
    "deprovision-never-was",
    "deprovision of what never was succeeds",
    async (bench) => {
      const subject = await bench.subject();
      assert.equal((await subject.bringDown()).state, "absent");
    },
  ),
  check("IDEM-03", "deprovision-twice", "deprovision of what is gone succeeds", async (bench) => {
    const subject = await bench.subject();
    await subject.bringUp(subject.request(...richest(bench)));
    await subject.bringDown();
    assert.equal((await subject.bringDown()).state, "absent");
  }),
  check(
    "IDEM-04",
    "no-state-in-memory",
    "another deployer object sees and manages the same",
    async (bench) => {
      const subject = await bench.subject();
      const request = subject.request(...richest(bench));
      const seen = await subject.bringUp(request);
      const other = await bench.subject({ id: subject.id });
      const again = await other.inspect();
      assert.deepEqual(
        { state: again.state, url: again.url, serving: again.serving },
        { state: seen.state, url: seen.url, serving: seen.serving },
        "another instance observes something else",
      );
      assert.equal((await other.plan(request)).action, "no-op");
      await other.bringDown();
      await bench.until(
        "nothing is left",
        () => bench.list(),
        (left) => left.length === 0,
      );
    },
  ),
  check(
    "ISO-01",
    "deployments-independent",
    "one deployer handles two deployments at once",
    async (bench) => {
      const one = await bench.subject({ name: "one" });
      const two = await bench.subject({ name: "two", deployer: one.deployer });
      const [first, second] = await Promise.all([
        one.bringUp(one.request("v1")),
        two.bringUp(two.request("v2")),
      ]);
      assert.notEqual(first.url, second.url, "both have the same URL");
      assert.equal((await bench.invoke(first.url)).version, 1);
      assert.equal((await bench.invoke(second.url)).version, 2);
      await one.bringDown();
      assert.equal((await bench.invoke(second.url)).version, 2, "removing one hit the other");
    },
  ),
  check(
    "DEPR-01",
    "deprovision-removes-all",
    "every resource is gone and nothing serves",
    async (bench) => {
      const subject = await bench.subject();
      const { url } = await subject.bringUp(subject.request(...richest(bench)));
      await subject.bringDown();
      await bench.until(
        "every resource is gone",
        () => bench.list(),
        (left) => left.length === 0,
      );
      await bench.until(
        "the URL no longer serves",
        () => bench.servedRevision(url),
        (revision) => revision === null,
      );
    },
  ),
  check(
    "DEPR-02",
    "deprovision-leftovers",
    "what is left of a deployment is removed",
    async (bench) => {
      const remove = bench.fault("remove");
      const subject = await bench.subject();
      const request = subject.request(...richest(bench));
      await subject.bringUp(request);
      const { length } = await bench.list();
      for (let index = 0; index < length; index++) {
        await subject.bringUp(request);
        const resource = (await bench.list())[index];
        if (resource !== undefined) await remove(resource);
        await subject.bringDown();
        await bench.until(
          "the rest is gone too",
          () => bench.list(),
          (left) => left.length === 0,
        );
      }
    },
    { needs: ["remove"] },
  ),
  check(
    "CLEAN-01",
    "clean-after-failure",
    "deprovision leaves nothing of a failed roll-out",
    async (bench) => {
      const subject = await bench.subject();
      await subject.rollOut(subject.request("init-fails"));
      await subject.bringDown();
      await bench.until(
        "nothing is left",
        () => bench.list(),
        (left) => left.length === 0,
      );
    },
  ),
];
