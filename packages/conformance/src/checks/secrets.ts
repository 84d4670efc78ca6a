import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { Secret } from "@millrace/core";
import { type Bench, NotTestable } from "../bench.ts";
import { check } from "../check.ts";
import { LEAK_VARIABLE, LEAKED, SECRET_NAME } from "../pipelines/instrument.ts";
import { deepText, keysOf, type Subject, type Variation } from "../subject.ts";
import { everyLog, expectHidden, typedRejection, whateverComes } from "./expectations.ts";

const FIRST = "conformance-Secret+value/1 ü";
const SECOND = "conformance-Secret+value/2 ü";

function requestWith(subject: Subject, value: string, variation: Variation = {}) {
  const secrets = { [SECRET_NAME]: new Secret(value) };
  return subject.request("secret", { ...variation, secrets });
}

/** The pipeline has printed the secret wherever it can. */
function isLeaked(text: string): boolean {
  return Object.values(LEAKED).every((mark) => text.includes(mark));
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
    "secret-printed",
    "what the pipeline's code prints and throws lets no secret out",
    async (bench) => {
      const subject = await bench.subject();
      const { url } = await subject.bringUp(requestWith(subject, FIRST));
      const { status, text } = await bench.post(url, { leak: true });
      assert.equal(status, 500, `POST /invoke answered ${status}: ${text}`);
      expectHidden([FIRST], text, "the answer");
      const lines = await bench.until(
        "the log has what was printed",
        async () => (await everyLog(subject)).join("\n"),
        isLeaked,
      );
      expectHidden([FIRST], lines, "the log");
      const environment = { [LEAK_VARIABLE]: "1" };
      await subject.rollOut(requestWith(subject, FIRST, { environment }));
      const failure = await bench.until(
        "the error of the failed roll-out carries what was printed",
        async () => {
          const { rollout, error } = await subject.inspect();
          return deepText(rollout?.error ?? error);
        },
        isLeaked,
      );
      expectHidden([FIRST], failure, "the error of the failed roll-out");
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
