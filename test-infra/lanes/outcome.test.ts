import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  closingLine,
  countConformance,
  countReport,
  failureLines,
  type Outcome,
  sum,
  type VitestReport,
} from "./outcome.ts";

const report = (part: Partial<VitestReport>): VitestReport => ({
  success: true,
  numPassedTests: 0,
  numPendingTests: 0,
  numTodoTests: 0,
  testResults: [],
  ...part,
});

const test = (fullName: string, ...failureMessages: string[]) => ({
  fullName,
  status: failureMessages.length === 0 ? "passed" : "failed",
  failureMessages,
});

describe("countReport", () => {
  it("counts tests", () => {
    expect(countReport(report({ numPassedTests: 3, numPendingTests: 1, numTodoTests: 1 }))).toEqual(
      { passed: 3, failures: [], skipped: 2 },
    );
  });

  it("says which tests failed, and why", () => {
    const assertionResults = [test("adds"), test("divides", "expected 1 to be 2\n    at a.ts:1")];
    const testResults = [{ name: "a.test.ts", status: "failed", assertionResults }];
    expect(countReport(report({ success: false, numPassedTests: 1, testResults }))).toEqual({
      passed: 1,
      failures: ["a.test.ts: divides\nexpected 1 to be 2\n    at a.ts:1"],
      skipped: 0,
    });
  });

  it("counts a file that could not be loaded as a failed test", () => {
    const broken = { name: "b.test.ts", status: "failed", message: "no b", assertionResults: [] };
    const { failures } = countReport(report({ success: false, testResults: [broken] }));
    expect(failures).toEqual(["b.test.ts\nno b"]);
  });

  it("counts a run that failed outside of its tests as a failed test", () => {
    expect(countReport(report({ success: false, numPassedTests: 3 })).failures).toHaveLength(1);
  });
});

describe("countConformance", () => {
  it("counts checks, and says which failed", () => {
    const result = { clause: "OBS-01", id: "never-was", outcome: "passed", reason: null };
    const results = [
      result,
      { ...result, id: "gone", outcome: "failed", reason: "it is there" },
      { ...result, id: "late", outcome: "not made", reason: "SIGINT ended the run" },
    ];
    expect(countConformance({ summary: { passed: 1, notTestable: 2 }, results })).toEqual({
      passed: 1,
      failures: ["OBS-01 gone\nit is there", "OBS-01 late\nSIGINT ended the run"],
      skipped: 2,
    });
  });
});

describe("failureLines", () => {
  it("indents the reason below the name", () => {
    expect(failureLines({ passed: 0, failures: ["a\nb\nc"], skipped: 0 })).toEqual([
      "✗ a\n    b\n    c",
    ]);
  });
});

describe("the closing line", () => {
  it("names skipped tests only when there are some", () => {
    expect(closingLine({ passed: 2, failures: [], skipped: 0 })).toBe("2 passed, 0 failed");
    expect(closingLine({ passed: 2, failures: ["a"], skipped: 3 })).toBe(
      "2 passed, 1 failed, 3 skipped",
    );
  });

  it("loses nothing when lanes are summed", () => {
    const outcome: fc.Arbitrary<Outcome> = fc.record({
      passed: fc.nat(999),
      failures: fc.array(fc.string()),
      skipped: fc.nat(999),
    });
    fc.assert(
      fc.property(fc.array(outcome), (outcomes) => {
        const total = sum(outcomes);
        expect(total.failures).toEqual(outcomes.flatMap(({ failures }) => failures));
        for (const key of ["passed", "skipped"] as const) {
          expect(total[key]).toBe(outcomes.reduce((count, one) => count + one[key], 0));
        }
      }),
    );
  });
});
