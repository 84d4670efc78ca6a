import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { extname } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { Client } from "@millrace/control";
import type { Bench } from "../bench.ts";
import { check } from "../check.ts";
import type { OperatorOrder } from "../operator-order.ts";
import { keysOf } from "../subject.ts";
import { expectOnly, richest } from "./expectations.ts";

const NAME = "crashed";
/** More writes than any operation makes. */
const MOST_WRITES = 100;

type Death = Pick<OperatorOrder, "killAt" | "moment">;

/** Runs an operator that dies at a write of the journal. False when it came to its end before that write. */
async function diesAt(bench: Bench, snapshot: string | null, death: Death): Promise<boolean> {
  const { plugin, flavor } = bench.harness;
  const { directory, home, timing } = bench;
  const order: OperatorOrder = {
    plugin,
    flavor,
    directory,
    home,
    timing,
    name: NAME,
    snapshot,
    ...death,
  };
  const file = new URL(`../operator-process${extname(import.meta.url)}`, import.meta.url);
  const child = spawn(process.execPath, [fileURLToPath(file)], {
    stdio: ["pipe", "ignore", "pipe"],
  });
  child.stdin.end(JSON.stringify(order));
  const said = text(child.stderr);
  const [code, signal] = await once(child, "exit");
  if (signal === "SIGKILL") return true;
  assert.equal(
    code,
    0,
    `the operator that should die at write ${death.killAt} failed: ${await said}`,
  );
  return false;
}

/** Lets operators die at every write of the journal, one after the other, and heals after each. */
async function atEveryWrite(
  moment: Death["moment"],
  die: (death: Death) => Promise<boolean>,
  heal: (where: string) => Promise<void>,
): Promise<void> {
  let deaths = 0;
  for (let killAt = 1; killAt <= MOST_WRITES; killAt++) {
    const died = await die({ killAt, moment });
    await heal(`after a death ${moment} write ${killAt}`);
    if (!died) break;
    deaths++;
  }
  assert.ok(deaths > 0, "the journal was never written, so there was no point to die at");
  assert.ok(deaths < MOST_WRITES, "there is no end to the writes of the journal");
}

/** One service runs the snapshot, and nothing but the wanted resources exists. */
async function expectHealed(
  bench: Bench,
  operator: Client,
  fixture: string,
  keys: number,
  where: string,
): Promise<void> {
  const { deployment } = await operator.deploy({ snapshot: fixture }, { name: NAME });
  assert.equal(deployment.status, "RUNNING", where);
  await bench.until(
    `the service reports its revision ${where}`,
    () => bench.servedRevision(deployment.url),
    (revision) => revision === deployment.revision,
  );
  await bench.until(
    `${keys} resources exist ${where}`,
    () => bench.list(),
    ({ length }) => length === keys,
  );
  const { inventory } = await operator.deployments.get(NAME);
  assert.deepEqual(
    keysOf(inventory),
    keysOf(await bench.list()),
    `the inventory differs from the platform ${where}`,
  );
}

/** How many resources a deployment of the fixture has. */
async function countResources(bench: Bench, operator: Client, fixture: string): Promise<number> {
  await operator.deploy({ snapshot: fixture }, { name: NAME });
  const { length } = await bench.list();
  await operator.deployments.delete(NAME);
  await expectOnly(bench, []);
  return length;
}

export const crashChecks = (["before", "after"] as const).flatMap((moment) => [
  check(
    "CRASH-01",
    `crash-deploy-${moment}`,
    `a first deploy survives death ${moment} each write`,
    async (bench) => {
      const operator = await bench.operator();
      const [fixture] = richest(bench);
      const count = await countResources(bench, operator, fixture);
      await atEveryWrite(
        moment,
        (death) => diesAt(bench, fixture, death),
        async (where) => {
          await expectHealed(bench, operator, fixture, count, where);
          await operator.deployments.delete(NAME);
          await expectOnly(bench, []);
        },
      );
    },
  ),
  check(
    "CRASH-02",
    `crash-update-${moment}`,
    `an update survives death ${moment} each write`,
    async (bench) => {
      const operator = await bench.operator();
      const { deployment } = await operator.deploy({ snapshot: "v1" }, { name: NAME });
      const { length } = await bench.list();
      await atEveryWrite(
        moment,
        (death) => diesAt(bench, "v2", death),
        async (where) => {
          if (bench.capabilities.zeroDowntime)
            assert.ok(
              (await bench.servedRevision(deployment.url)) !== null,
              `nothing serves ${where}`,
            );
          await expectHealed(bench, operator, "v2", length, where);
          await expectHealed(bench, operator, "v1", length, `${where}, back again`);
        },
      );
    },
  ),
  check(
    "CRASH-03",
    `crash-deprovision-${moment}`,
    `a deprovision survives death ${moment} each write`,
    async (bench) => {
      const operator = await bench.operator();
      const [fixture] = richest(bench);
      await operator.deploy({ snapshot: fixture }, { name: NAME });
      await atEveryWrite(
        moment,
        (death) => diesAt(bench, null, death),
        async () => {
          await operator.deployments.deprovision(NAME);
          await expectOnly(bench, []);
          await operator.deploy({ snapshot: fixture }, { name: NAME });
        },
      );
    },
  ),
  check(
    "CRASH-03",
    `crash-deploy-delete-${moment}`,
    `delete after a deploy that died ${moment} each write leaves nothing`,
    async (bench) => {
      const operator = await bench.operator();
      const [fixture] = richest(bench);
      await atEveryWrite(
        moment,
        (death) => diesAt(bench, fixture, death),
        async () => {
          await operator.deployments.delete(NAME);
          await expectOnly(bench, []);
        },
      );
    },
  ),
]);
