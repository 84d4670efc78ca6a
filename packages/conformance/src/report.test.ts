import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { judge } from "./expected-failures.ts";
import { closingLine, consoleLine, summarize, toJson, toJunit, toMarkdown } from "./report.ts";
import type { CheckResult, Outcome, Report } from "./run.ts";

function result(id: string, outcome: Outcome, reason: string | null = null): CheckResult {
  return { id, title: `title of ${id}`, clause: "PLAN-01", outcome, reason, seconds: 0.25 };
}

const report: Report = {
  harness: "mine",
  flavor: "mine",
  results: [
    result("good", "passed"),
    result("bad", "failed", "it broke\nat length"),
    result("known", "failed", "it broke"),
    result("stale", "passed"),
    result("unbound", "not applicable", "does not bind"),
    result("untestable", "not testable", "no fault"),
  ],
};
const expected = { known: "a bug of the platform", stale: "was a bug" };

describe("a report", () => {
  it("counts a failure that was expected apart, and an expected one that did not come as a failure", () => {
    expect(summarize(report, expected)).toEqual({
      passed: 1,
      failed: 2,
      expectedFailures: 1,
      notApplicable: 1,
      notTestable: 1,
      notMade: 0,
    });
    expect(closingLine(summarize(report, expected))).toBe(
      "1 passed, 2 failed, 1 failed as expected, 1 not applicable, 1 not testable",
    );
  });

  it("says on the console why a check failed, which duty that breaks, and what is stale", () => {
    const lines = report.results.map((one) => consoleLine(one, expected));
    expect(lines[0]).toBe("✓ PLAN-01 good: title of good (0.3 s)");
    expect(lines[1]).toContain(
      "    it broke\n    at length\n    PLAN-01 asks: `plan` MUST NOT create",
    );
    expect(lines[2]).toContain("failed as expected: a bug of the platform");
    expect(lines[3]).toContain("remove it from the expected failures");
    expect(lines[5]).toContain("no fault");
  });

  it("is JSON with a verdict for each check", () => {
    const { results, summary } = JSON.parse(toJson(report, expected));
    expect(summary.failed).toBe(2);
    expect(results.map(({ verdict }: { verdict: string }) => verdict)).toEqual([
      "ok",
      "failed",
      "expected",
      "stale",
      "ok",
      "ok",
    ]);
  });

  it("is a table in Markdown, whatever stands in a reason", () => {
    const text = toMarkdown({ ...report, results: [result("bad", "failed", "a | b\nc")] }, {});
    expect(text).toContain("| failed | a \\| b |");
  });

  it("is well-formed XML for JUnit, whatever stands in a reason", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (reason) => {
        const xml = toJunit({ ...report, results: [result("bad", "failed", reason)] }, {});
        const inner = xml.slice(xml.indexOf("<failure"), xml.indexOf("</failure>"));
        expect(inner.match(/</g)).toHaveLength(1);
        expect(inner).not.toMatch(/&(?!(amp|lt|gt|quot);)/);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what XML cannot hold.
        expect(inner).not.toMatch(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/);
      }),
    );
    expect(toJunit(report, expected)).toContain('tests="6" failures="2" errors="0" skipped="3"');
  });

  it("names the checks that an interrupted run did not make, in every form, whatever was expected of them", () => {
    const interrupted: Report = {
      ...report,
      results: [result("good", "passed"), result("known", "not made", "SIGINT ended the run")],
    };
    expect(closingLine(summarize(interrupted, expected))).toBe("1 passed, 0 failed, 1 not made");
    expect(JSON.parse(toJson(interrupted, expected))).toMatchObject({
      summary: { failed: 0, notMade: 1 },
      results: [{ verdict: "ok" }, { id: "known", verdict: "not made" }],
    });
    const xml = toJunit(interrupted, expected);
    expect(xml).toContain('tests="2" failures="0" errors="1" skipped="0"');
    expect(xml).toContain('<error message="not made: SIGINT ended the run"/>');
    expect(toMarkdown(interrupted, expected)).toContain("| not made | SIGINT ended the run |");
  });
});

describe("an expected failure", () => {
  it.each([
    ["failed", true, "expected"],
    ["failed", false, "failed"],
    ["passed", true, "stale"],
    ["passed", false, "ok"],
    ["not testable", true, "stale"],
    ["not applicable", false, "ok"],
  ] as const)("that is %s and expected %s is %s", (outcome, isExpected, verdict) => {
    expect(judge({ id: "one", outcome }, isExpected ? { one: "why" } : {})).toBe(verdict);
  });
});
