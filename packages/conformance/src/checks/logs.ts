import { strict as assert } from "node:assert";
import { setTimeout as sleep } from "node:timers/promises";
import { isMillraceError, type LogLine, MillraceError } from "@millrace/core";
import { type Bench, NotTestable } from "../bench.ts";
import { check } from "../check.ts";
import { keysOf, type Subject } from "../subject.ts";
import { everyLog } from "./expectations.ts";

const MARK = "conformance-line";

/** Lines that a service says, in the order in which it says them. */
function lines(count: number): string[] {
  return Array.from({ length: count }, (_, index) => {
    const filler = index % 10 === 0 ? "x".repeat(3000) : "grüße, 世界";
    return `${MARK} ${index} ${filler}`;
  });
}

function marked(texts: readonly string[]): string[] {
  return texts.filter((text) => text.startsWith(MARK));
}

async function untilLogged(bench: Bench, subject: Subject, text: string): Promise<void> {
  await bench.until(
    `the line "${text.slice(0, 40)}" is in the log`,
    () => everyLog(subject),
    (all) => all.includes(text),
  );
}

interface Follower {
  readonly lines: LogLine[];
  readonly ended: Promise<void>;
  stop(): void;
}

function follow(subject: Subject): Follower {
  const abort = new AbortController();
  const seen: LogLine[] = [];
  const read = async (): Promise<void> => {
    const context = subject.context(abort.signal);
    for await (const line of subject.deployer.logs(subject.target, { follow: true }, context))
      seen.push(line);
  };
  return { lines: seen, ended: read(), stop: () => abort.abort(new Error("conformance aborts")) };
}

async function endsSoon(follower: Follower, after: string): Promise<void> {
  const limit = new AbortController();
  const outcome = await Promise.race([
    follower.ended.then(
      () => "ended",
      (error: unknown) => `threw ${String(error)}`,
    ),
    sleep(1000, "went on", { signal: limit.signal }),
  ]);
  limit.abort();
  assert.equal(outcome, "ended", `following ${outcome} after ${after}`);
}

export const logChecks = [
  check("LOG-01", "logs-complete", "every line comes whole, once and in order", async (bench) => {
    const subject = await bench.subject();
    const { url } = await subject.bringUp(subject.request("v1"));
    const said = lines(130);
    await bench.invoke(url, { say: said });
    // A deployer that loses the last line is told by what it does give.
    await bench.until(
      "a later line is in the log",
      async () => {
        await bench.invoke(url, { say: ["conformance-end"] });
        return everyLog(subject);
      },
      (all) => all.some((text) => text.includes("conformance-end")),
    );
    const got = marked(await everyLog(subject));
    assert.equal(
      got.length,
      said.length,
      `${said.length} lines were written and ${got.length} came back`,
    );
    for (const [index, line] of said.entries())
      assert.equal(got[index], line, `line ${index} differs`);
  }),
  check(
    "LOG-02",
    "logs-tail",
    "tail gives the last lines",
    async (bench) => {
      const subject = await bench.subject();
      const { url } = await subject.bringUp(subject.request("v1"));
      const said = lines(12);
      await bench.invoke(url, { say: said });
      await untilLogged(bench, subject, said.at(-1) ?? "");
      for (const tail of [3, 1, 0]) {
        await bench.until(
          `tail ${tail} gives the last ${tail} lines`,
          async () => {
            const all = await everyLog(subject);
            const last = (await subject.logs({ tail })).map(({ text }) => text);
            return { last, expected: tail === 0 ? [] : all.slice(-tail) };
          },
          ({ last, expected }) => JSON.stringify(last) === JSON.stringify(expected),
        );
      }
    },
    { requires: ({ logs }) => logs.tail },
  ),
  check(
    "LOG-03",
    "logs-since",
    "since gives the lines from a time on",
    async (bench) => {
      const subject = await bench.subject();
      const { url } = await subject.bringUp(subject.request("v1"));
      await bench.invoke(url, { say: [`${MARK} before`] });
      await untilLogged(bench, subject, `${MARK} before`);
      // Platforms tell times to the millisecond, and the lines must not share one with the boundary.
      await sleep(20);
      const since = new Date();
      await sleep(20);
      await bench.invoke(url, { say: [`${MARK} after`] });
      await untilLogged(bench, subject, `${MARK} after`);
      const got = marked((await subject.logs({ since })).map(({ text }) => text));
      assert.deepEqual(got, [`${MARK} after`]);
    },
    { requires: ({ logs }) => logs.since },
  ),
  check(
    "LOG-04",
    "logs-follow",
    "follow gives each new line and ends on abort",
    async (bench) => {
      const subject = await bench.subject();
      const { url } = await subject.bringUp(subject.request("v1"));
      await bench.invoke(url, { say: [`${MARK} one`] });
      await untilLogged(bench, subject, `${MARK} one`);
      const follower = follow(subject);
      for (const said of ["two", "three"]) {
        await bench.invoke(url, { say: [`${MARK} ${said}`] });
        await bench.until(
          `the line "${said}" is followed`,
          async () => marked(follower.lines.map(({ text }) => text)),
          (got) => got.includes(`${MARK} ${said}`),
        );
      }
      follower.stop();
      await endsSoon(follower, "the abort");
      assert.deepEqual(marked(follower.lines.map(({ text }) => text)), [
        `${MARK} one`,
        `${MARK} two`,
        `${MARK} three`,
      ]);
    },
    { requires: ({ logs }) => logs.follow },
  ),
  check("LOG-05", "logs-never-was", "a deployment that never was has no lines", async (bench) => {
    const subject = await bench.subject();
    assert.deepEqual(await subject.logs(), []);
  }),
  check(
    "LOG-06",
    "logs-replica",
    "every line says which replica wrote it",
    async (bench) => {
      const subject = await bench.subject();
      const { url } = await subject.bringUp(subject.request("v1"));
      await bench.invoke(url, { say: [`${MARK} one`] });
      await untilLogged(bench, subject, `${MARK} one`);
      const line = (await subject.logs()).find(({ text }) => text === `${MARK} one`);
      assert.ok((line?.replica ?? "") !== "", "the line names no replica");
    },
    { requires: ({ logs }) => logs.replicas },
  ),
  check(
    "LOG-07",
    "logs-follow-gone",
    "follow ends when the deployment is gone",
    async (bench) => {
      const subject = await bench.subject();
      await subject.bringUp(subject.request("v1"));
      const follower = follow(subject);
      await subject.bringDown();
      await endsSoon(follower, "the deployment was removed");
      follower.stop();
    },
    { requires: ({ logs }) => logs.follow },
  ),
  check(
    "CAP-04",
    "follow-undeclared",
    "follow ends by itself or is refused where it is not declared",
    async (bench) => {
      const subject = await bench.subject();
      await subject.bringUp(subject.request("v1"));
      const follower = follow(subject);
      const outcome = await Promise.race([
        follower.ended.then(
          () => "ended",
          (error: unknown) =>
            isMillraceError(error) && error.class === "usage"
              ? "refused"
              : `threw ${String(error)}`,
        ),
        sleep(2000, "went on", { ref: false }),
      ]);
      follower.stop();
      assert.ok(outcome === "ended" || outcome === "refused", `following ${outcome}`);
    },
    { requires: ({ logs }) => !logs.follow },
  ),
  check("LOG-08", "log-kept", "no log is lost with what it belongs to", async (bench) => {
    const subject = await bench.subject();
    const { url } = await subject.bringUp(subject.request("v1"));
    await bench.invoke(url, { say: [`${MARK} last`] });
    await untilLogged(bench, subject, `${MARK} last`);
    const before = keysOf(await subject.resources());
    let asked = 0;
    const refused = subject.deprovisionKeeping(async () => {
      asked++;
      throw new MillraceError({
        class: "unreachable",
        code: "NO_ROOM",
        message: "Nobody can keep the log.",
        action: "Try again.",
        retryable: true,
      });
    });
    const [outcome] = await Promise.allSettled([refused]);
    if (asked === 0) throw new NotTestable("the deployer hands no log over");
    assert.equal(outcome.status, "rejected", "the log could not be kept, and the call succeeded");
    assert.ok(
      (await everyLog(subject)).includes(`${MARK} last`),
      `the log could not be kept, and is gone; there were ${before.join(", ")}`,
    );
    const kept: string[] = [];
    await subject.deprovisionKeeping(async (log) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of log) chunks.push(chunk);
      kept.push(Buffer.concat(chunks).toString("utf8"));
    });
    await bench.until(
      "it is absent",
      () => subject.inspect(),
      ({ state }) => state === "absent",
    );
    assert.ok(
      kept.some((log) => log.includes(`${MARK} last`)),
      "the log that was handed over lacks the last line",
    );
  }),
];
