import { strict as assert } from "node:assert";
import { isMillraceError, type MillraceError } from "@millrace/core";
import { type Bench, NotTestable, show } from "../bench.ts";
import { check } from "../check.ts";
import { FAULTS } from "../harness.ts";
import { keysOf, type Subject } from "../subject.ts";
import { picture, typedRejection } from "./expectations.ts";

/** Every call of the contract, by name. */
function callsOf(
  subject: Subject,
): readonly [name: string, call: (signal?: AbortSignal) => Promise<unknown>][] {
  return [
    ["inspect", (signal) => subject.inspect(signal)],
    ["plan", (signal) => subject.plan(subject.request("v2"), signal)],
    ["provision", (signal) => subject.provision(subject.request("v2"), signal)],
    ["logs", (signal) => subject.logs({}, signal)],
    ["deprovision", (signal) => subject.deprovision(signal)],
  ];
}

/** A deployment that runs, on a platform that no longer answers as it should. */
async function broken(
  bench: Bench,
  fault: "cutOff" | "throttle" | "expireCredentials",
): Promise<{ readonly subject: Subject; readonly logged: number }> {
  const subject = await bench.subject();
  const { url } = await subject.bringUp(subject.request("v1"));
  await bench.invoke(url, { say: ["conformance"] });
  const logged = await bench.until(
    "there is a log",
    async () => (await subject.logs()).length,
    (count) => count > 0,
  );
  await bench.fault(fault)();
  return { subject, logged };
}

/** Every call fails as the judge demands; logs may be kept where the platform need not be asked. */
async function everyCallFails(
  { subject, logged }: { readonly subject: Subject; readonly logged: number },
  when: string,
  judge: (error: MillraceError, name: string) => void,
): Promise<void> {
  for (const [name, call] of callsOf(subject)) {
    const keptLogs = name === "logs" && (await subject.logs().catch(() => [])).length >= logged;
    if (!keptLogs) judge(await typedRejection(`${name} ${when}`, call), name);
  }
}

export const failureChecks = [
  check(
    "FAIL-01",
    "first-rollout-fails",
    "a first roll-out that fails is observed as failed",
    async (bench) => {
      const subject = await bench.subject();
      await subject.rollOut(subject.request("init-fails"));
      const seen = await bench.until(
        "it is failed",
        () => subject.inspect(),
        ({ state }) => state === "failed",
      );
      const error = seen.error ?? seen.rollout?.error;
      assert.ok(isMillraceError(error), `no error says why: ${show(seen)}`);
      assert.ok(error.message.length > 0);
      assert.equal(seen.serving, null);
    },
  ),
  check(
    "FAIL-01",
    "never-ready-fails",
    "a service that never gets ready is observed as failed",
    async (bench) => {
      const subject = await bench.subject();
      await subject.provision(
        subject.request("never-ready", { serving: { initTimeoutSeconds: 1 } }),
      );
      await bench.until(
        "it is failed",
        () => subject.inspect(),
        ({ state }) => state === "failed",
      );
    },
  ),
  check(
    "FAIL-02",
    "update-fails",
    "the old revision goes on serving",
    async (bench) => {
      const subject = await bench.subject();
      const old = subject.request("v1");
      const { url } = await subject.bringUp(old);
      const wanted = subject.request("init-fails");
      const seen = await subject.rollOut(wanted);
      assert.equal(seen.state, "running", show(seen));
      assert.equal(seen.serving?.revision, old.revision, "another revision is said to serve");
      assert.equal(seen.rollout?.phase, "failed", show(seen.rollout));
      assert.ok(isMillraceError(seen.rollout?.error), "the failed roll-out has no error");
      assert.equal(
        await bench.servedRevision(url),
        old.revision,
        "the old revision does not answer",
      );
      assert.equal((await bench.invoke(url)).version, 1);
    },
    { requires: ({ keepsOldOnFailure }) => keepsOldOnFailure },
  ),
  check("FAIL-03", "recovers", "a good roll-out after a failed one serves", async (bench) => {
    const subject = await bench.subject();
    await subject.rollOut(subject.request("init-fails"));
    const { url } = await subject.bringUp(subject.request("v2"));
    assert.equal((await bench.invoke(url)).version, 2);
  }),
  check("FAIL-04", "failure-shows-logs", "the error has the last log lines", async (bench) => {
    const subject = await bench.subject();
    await subject.rollOut(subject.request("init-fails"));
    await bench.until(
      "the error carries the log",
      async () => {
        const { rollout, error } = await subject.inspect();
        return show((rollout?.error ?? error)?.details["logs"]);
      },
      (logs) => logs.includes("conformance-init-failure"),
    );
  }),
  check("ERR-01", "errors-typed", "every error is typed and says what to do", async (bench) => {
    const faults = (["cutOff", "throttle", "expireCredentials", "refuse"] as const).filter(
      (name) => bench.platform.faults[name] !== undefined,
    );
    if (faults.length === 0)
      throw new NotTestable(
        `the harness has none of the faults of ${FAULTS.join(", ")} that make errors`,
      );
    const subject = await bench.subject();
    await subject.bringUp(subject.request("v1"));
    for (const fault of faults) {
      await bench.fault(fault)();
      await typedRejection(`provision under the fault ${fault}`, () =>
        subject.provision(subject.request("v2")),
      );
      await bench.platform.restore();
    }
  }),
  check(
    "ERR-02",
    "refusal-kept",
    "a refusal of the platform is told",
    async (bench) => {
      const subject = await bench.subject();
      await bench.fault("refuse")();
      const error = await typedRejection("provision that the platform refuses", () =>
        subject.provision(subject.request("v1")),
      );
      assert.equal(error.class, "platform", `the class is ${error.class}`);
      assert.ok(error.cause !== undefined, "the platform's own error is not kept as the cause");
    },
    { needs: ["refuse"] },
  ),
  check(
    "UNRE-01",
    "unreachable",
    "no call answers while the platform cannot be reached",
    async (bench) => {
      const parts = await broken(bench, "cutOff");
      await everyCallFails(parts, "while the platform is cut off", (error, name) => {
        assert.equal(
          error.class,
          "unreachable",
          `${name} failed with ${error.code} of class ${error.class}`,
        );
        assert.ok(error.retryable, `${name} failed with ${error.code}, which is not retryable`);
      });
    },
    { needs: ["cutOff"] },
  ),
  check(
    "UNRE-02",
    "throttled",
    "throttling is unreachable, retryable, and says how long to wait",
    async (bench) => {
      const parts = await broken(bench, "throttle");
      await everyCallFails(parts, "while throttled", (error, name) => {
        assert.equal(
          error.class,
          "unreachable",
          `${name} failed with ${error.code} of class ${error.class}`,
        );
        assert.ok(error.retryable, `${name} failed with ${error.code}, which is not retryable`);
        assert.ok(
          (error.retryAfterMs ?? 0) > 0,
          `${name} failed with ${error.code}, whose retryAfterMs does not say how long to wait`,
        );
      });
    },
    { needs: ["throttle"] },
  ),
  check(
    "UNRE-03",
    "credentials-expired",
    "expired credentials are unreachable and not retryable",
    async (bench) => {
      const parts = await broken(bench, "expireCredentials");
      await everyCallFails(parts, "with expired credentials", (error, name) => {
        assert.equal(
          error.class,
          "unreachable",
          `${name} failed with ${error.code} of class ${error.class}`,
        );
        assert.ok(!error.retryable, `${name} failed with ${error.code}, which is retryable`);
      });
    },
    { needs: ["expireCredentials"] },
  ),
  check(
    "ABRT-01",
    "abort-prompt",
    "every call ends within a second of the abort",
    async (bench) => {
      const subject = await bench.subject();
      await subject.bringUp(subject.request("v1"));
      await bench.fault("hang")();
      for (const [name, call] of callsOf(subject)) {
        const abort = new AbortController();
        const began = performance.now();
        setTimeout(() => abort.abort(new Error("conformance aborts")), 50);
        const outcome = await Promise.race([
          call(abort.signal).then(
            () => "answered",
            () => "rejected",
          ),
          new Promise<string>((resolve) => setTimeout(resolve, 1_050, "went on")),
        ]);
        const took = Math.round(performance.now() - began);
        assert.notEqual(outcome, "went on", `${name} went on for ${took} ms after the abort`);
        if (name !== "logs")
          assert.equal(outcome, "rejected", `${name} ${outcome} although it was aborted`);
      }
    },
    { needs: ["hang"] },
  ),
  check(
    "ABRT-02",
    "aborted-before",
    "a call that is aborted already changes nothing",
    async (bench) => {
      const subject = await bench.subject();
      const aborted = AbortSignal.abort(new Error("conformance aborts"));
      const rejected = await subject.provision(subject.request("v1"), aborted).then(
        () => false,
        () => true,
      );
      assert.ok(rejected, "provision answered although its signal was aborted");
      assert.deepEqual(
        keysOf(await bench.list()),
        [],
        "provision made something although its signal was aborted",
      );
      const { url } = await subject.bringUp(subject.request("v1"));
      const before = await picture(bench);
      await subject.deprovision(aborted).then(
        () => assert.fail("deprovision answered although its signal was aborted"),
        () => {},
      );
      assert.equal(
        await picture(bench),
        before,
        "deprovision changed something although its signal was aborted",
      );
      assert.ok((await bench.servedRevision(url)) !== null);
    },
  ),
];
