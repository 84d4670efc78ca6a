import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { Secret } from "@millrace/core";
import { type Bench, NotTestable } from "../bench.ts";
import { check } from "../check.ts";
import { SECRET_NAME } from "../pipelines/instrument.ts";
import type { Subject } from "../subject.ts";
import { keysOf } from "../subject.ts";
import { everyLog, expectHidden, typedRejection, whateverComes } from "./expectations.ts";

const FIRST = "conformance-Secret+value/1 ü";
const SECOND = "conformance-Secret+value/2 ü";

function requestWith(subject: Subject, value: string) {
  return subject.request("secret", { secrets: { [SECRET_NAME]: new Secret(value) } });
}

async function expectDelivered(bench: Bench, url: string | null, value: string): Promise<void> {
  const { secret } = await bench.invoke(url);
  assert.equal(
    secret,
    createHash("sha256").update(value).digest("hex"),
    "the service has another value",
  );
}

const declared = { requires: ({ secrets }: Bench["capabilities"]) => secrets };

export const secretChecks = [
  check(
    "SEC-01",
    "secret-arrives",
    "the service has the secret",
    async (bench) => {
      const subject = await bench.subject();
      const { url } = await subject.bringUp(requestWith(subject, FIRST));
      await expectDelivered(bench, url, FIRST);
    },
    declared,
  ),
  check(
    "SEC-02",
    "secret-never-said",
    "no call lets a secret out",
    async (bench) => {
      const subject = await bench.subject();
      await subject.plan(requestWith(subject, FIRST));
      await subject.bringUp(requestWith(subject, FIRST));
      await subject.plan(requestWith(subject, SECOND));
      await subject.bringUp(requestWith(subject, SECOND));
      await everyLog(subject);
      await whateverComes(() =>
        subject.rollOut(
          subject.request("init-fails", { secrets: { [SECRET_NAME]: new Secret(FIRST) } }),
        ),
      );
      await subject.inspect();
      await subject.bringDown();
      expectHidden([FIRST, SECOND], subject.said.join("\n"), "what the deployer says");
    },
    declared,
  ),
  check(
    "SEC-02",
    "secret-not-in-errors",
    "no error lets a secret out",
    async (bench) => {
      const faults = (["refuse", "cutOff", "throttle"] as const).filter(
        (name) => bench.platform.faults[name] !== undefined,
      );
      if (faults.length === 0)
        throw new NotTestable("the harness has no fault that makes an error");
      const subject = await bench.subject();
      for (const fault of faults) {
        await bench.fault(fault)();
        await whateverComes(() => subject.plan(requestWith(subject, FIRST)));
        await whateverComes(() => subject.provision(requestWith(subject, FIRST)));
        await bench.platform.restore();
      }
      expectHidden([FIRST, SECOND], subject.said.join("\n"), "an error");
    },
    declared,
  ),
  check(
    "SEC-03",
    "secret-not-visible",
    "the platform shows no secret",
    async (bench) => {
      const { platform } = bench;
      if (platform.visible === undefined)
        throw new NotTestable("the harness cannot tell what the platform shows");
      const subject = await bench.subject();
      await subject.bringUp(requestWith(subject, FIRST));
      expectHidden([FIRST, SECOND], await platform.visible(), "what the platform shows");
    },
    declared,
  ),
  check(
    "SEC-04",
    "secret-changes",
    "another value is planned and rolled out",
    async (bench) => {
      const subject = await bench.subject();
      await subject.bringUp(requestWith(subject, FIRST));
      const plan = await subject.plan(requestWith(subject, SECOND));
      const fields = plan.changes.flatMap((change) => change.fields.map(({ field }) => field));
      assert.ok(
        fields.some((field) => field.includes(SECRET_NAME)),
        `the plan does not name ${SECRET_NAME}: ${fields.join(", ")}`,
      );
      const { url } = await subject.bringUp(requestWith(subject, SECOND));
      await expectDelivered(bench, url, SECOND);
    },
    declared,
  ),
  check(
    "SEC-05",
    "secret-refused",
    "secrets are refused where they cannot be kept",
    async (bench) => {
      const subject = await bench.subject();
      await typedRejection("provision with a secret", () =>
        subject.provision(requestWith(subject, FIRST)),
      );
      assert.deepEqual(keysOf(await bench.list()), [], "it was carried out all the same");
    },
    { requires: ({ secrets }) => !secrets },
  ),
];
