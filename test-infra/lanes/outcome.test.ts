import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { closingLine, countReport, type Outcome, sum, type VitestReport } from "./outcome.ts";

const report = (part: Partial<VitestReport>): VitestReport => ({
  success: true,
  numPassedTests: 0,
  numFailedTests: 0,
  numPendingTests: 0,
  numTodoTests: 0,
  testResults: [],
  ...part,
});

describe("countReport", () => {
  it("counts tests", () => {
    expect(countReport(report({ numPassedTests: 3, numPendingTests: 1, numTodoTests: 1 }))).toEqual(
      { passed: 3, failed: 0, skipped: 2 },
    );
    expect(countReport(report({ success: false, numPassedTests: 3, numFailedTests: 2 }))).toEqual({
      passed: 3,
      failed: 2,
      skipped: 0,
    });
  });

  it("counts a file that could not be loaded as a failed test", () => {
    const broken = { status: "failed", assertionResults: [] };
    expect(
      countReport(report({ success: false, numPassedTests: 3, testResults: [broken] })).failed,
    ).toBe(1);
  });

  it("counts a run that failed outside of its tests as a failed test", () => {
    expect(countReport(report({ success: false, numPassedTests: 3 })).failed).toBe(1);
  });
});

describe("the closing line", () => {
  it("names skipped tests only when there are some", () => {
    expect(closingLine({ passed: 2, failed: 0, skipped: 0 })).toBe("2 passed, 0 failed");
    expect(closingLine({ passed: 2, failed: 1, skipped: 3 })).toBe("2 passed, 1 failed, 3 skipped");
  });

  it("loses nothing when lanes are summed", () => {
    const outcome: fc.Arbitrary<Outcome> = fc.record({
      passed: fc.nat(999),
      failed: fc.nat(999),
      skipped: fc.nat(999),
    });
    fc.assert(
      fc.property(fc.array(outcome), (outcomes) => {
        const total = sum(outcomes);
        for (const key of ["passed", "failed", "skipped"] as const) {
          expect(total[key]).toBe(outcomes.reduce((count, one) => count + one[key], 0));
        }
      }),
    );
  });
});
