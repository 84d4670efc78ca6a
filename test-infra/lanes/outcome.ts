/** What one lane of the test command came to. */
export interface Outcome {
  readonly passed: number;
  /** What failed, an entry a test: its name, then the first lines of the reason. */
  readonly failures: readonly string[];
  readonly skipped: number;
}

export const NOTHING: Outcome = { passed: 0, failures: [], skipped: 0 };
export const ONE_PASSED: Outcome = { passed: 1, failures: [], skipped: 0 };

export function oneFailed(what: string): Outcome {
  return { passed: 0, failures: [what], skipped: 0 };
}

export function sum(outcomes: readonly Outcome[]): Outcome {
  return outcomes.reduce(
    (total, one) => ({
      passed: total.passed + one.passed,
      failures: [...total.failures, ...one.failures],
      skipped: total.skipped + one.skipped,
    }),
    NOTHING,
  );
}

/** What failed, gathered for the end of the output: the lane's own lines are far up, or cut off. */
export function failureLines({ failures }: Outcome): string[] {
  return failures.map((failure) => `✗ ${failure.replaceAll("\n", "\n    ")}`);
}

/** The line that closes the test command. */
export function closingLine({ passed, failures, skipped }: Outcome): string {
  return `${passed} passed, ${failures.length} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`;
}

/** The parts of vitest's JSON report that are read. */
export interface VitestReport {
  readonly success: boolean;
  readonly numPassedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    /** The file's path. */
    readonly name: string;
    readonly status: string;
    /** Why the file could not be loaded. */
    readonly message?: string;
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

/** Lines of a reason that are repeated at the end. */
const REASON_LINES = 6;

function failure(name: string, reason: string): string {
  return [name, ...reason.split("\n").slice(0, REASON_LINES)].join("\n").trimEnd();
}

/**
 * Counts a report. A file that failed before any of its tests ran (a syntax error, a failing import) counts as one
 * failed test, and so does a run that failed although every test passed (an unhandled rejection).
 */
export function countReport(report: VitestReport): Outcome {
  const failures = report.testResults.flatMap(({ name, status, message, assertionResults }) =>
    status === "failed" && assertionResults.length === 0
      ? [failure(name, message ?? "")]
      : assertionResults
          .filter((test) => test.status === "failed")
          .map((test) => failure(`${name}: ${test.fullName}`, test.failureMessages.join("\n"))),
  );
  const outside = failures.length === 0 && !report.success;
  return {
    passed: report.numPassedTests,
    failures: outside ? ["a run failed although every test passed: see its output"] : failures,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

/** The parts of a conformance report that are read. */
export interface ConformanceReport {
  readonly summary: { readonly passed: number; readonly notTestable: number };
  readonly results: readonly {
    readonly clause: string;
    readonly id: string;
    readonly outcome: string;
    readonly reason: string | null;
  }[];
}

/** Counts a report of the suite. A check whose fault the platform does not know is skipped; one that an interrupted run did not make failed. */
export function countConformance({ summary, results }: ConformanceReport): Outcome {
  return {
    passed: summary.passed,
    failures: results
      .filter(({ outcome }) => outcome === "failed" || outcome === "not made")
      .map(({ clause, id, reason }) => failure(`${clause} ${id}`, reason ?? "")),
    skipped: summary.notTestable,
  };
}
