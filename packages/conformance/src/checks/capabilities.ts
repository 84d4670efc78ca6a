import { strict as assert } from "node:assert";
import { check } from "../check.ts";
import type { FixtureName } from "../fixtures.ts";
import { whateverComes } from "./expectations.ts";
import { withLoad } from "./load.ts";

const UPDATES = 4;

export const capabilityChecks = [
  check(
    "CAP-01",
    "tls-as-declared",
    "the URL is https just when tls is declared",
    async (bench) => {
      const subject = await bench.subject();
      const { url } = await subject.bringUp(subject.request("v1"));
      assert.equal(url?.startsWith("https:"), bench.capabilities.tls, `the URL is ${url}`);
    },
  ),
  check(
    "CAP-02",
    "url-stable",
    "the URL stays through update, failure and return",
    async (bench) => {
      const subject = await bench.subject();
      const { url } = await subject.bringUp(subject.request("v1"));
      const expectSame = async (after: string, fixture: FixtureName): Promise<void> => {
        const seen = await subject.bringUp(subject.request(fixture));
        assert.equal(seen.url, url, `the URL changed after ${after}`);
      };
      await expectSame("an update", "v2");
      await whateverComes(() => subject.rollOut(subject.request("init-fails")));
      await expectSame("a failed update", "v1");
      await subject.bringDown();
      await expectSame("a deprovision and a provision", "v2");
    },
    { requires: ({ stableUrl }) => stableUrl },
  ),
  check(
    "CAP-03",
    "no-request-lost",
    "no request is lost in updates under load",
    async (bench) => {
      const subject = await bench.subject();
      const { url } = await subject.bringUp(subject.request("v1"));
      const load = await withLoad(bench, url, async () => {
        for (let update = 0; update < UPDATES; update++)
          await subject.bringUp(subject.request(update % 2 === 0 ? "v2" : "v1"));
      });
      assert.deepEqual(
        load.lost.slice(0, 3),
        [],
        `${load.lost.length} of ${load.lost.length + load.answered} requests were lost`,
      );
    },
    { requires: ({ zeroDowntime }) => zeroDowntime },
  ),
];
