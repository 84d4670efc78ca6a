import { CLAUSES } from "./clauses.ts";
import { type ExpectedFailures, judge, type Verdict } from "./expected-failures.ts";
import type { CheckResult, Outcome, Report } from "./run.ts";

/** Numbers of a report. */
export interface Summary {
  readonly passed: number;
  readonly failed: number;
  readonly expectedFailures: number;
  readonly notApplicable: number;
  readonly notTestable: number;
  readonly notMade: number;
}

export function summarize({ results }: Report, expected: ExpectedFailures): Summary {
  const count = (outcome: Outcome): number =>
    results.filter((result) => result.outcome === outcome && judge(result, expected) === "ok")
      .length;
  const judged = (...verdicts: readonly Verdict[]): number =>
    results.filter((result) => verdicts.includes(judge(result, expected))).length;
  return {
    passed: count("passed"),
    failed: judged("failed", "stale"),
    expectedFailures: judged("expected"),
    notApplicable: count("not applicable"),
    notTestable: count("not testable"),
    notMade: judged("not made"),
  };
}

export function closingLine(summary: Summary): string {
  const { passed, failed, expectedFailures, notApplicable, notTestable, notMade } = summary;
  const parts = [
    `${passed} passed`,
    `${failed} failed`,
    ...(expectedFailures === 0 ? [] : [`${expectedFailures} failed as expected`]),
    ...(notApplicable === 0 ? [] : [`${notApplicable} not applicable`]),
    ...(notTestable === 0 ? [] : [`${notTestable} not testable`]),
    ...(notMade === 0 ? [] : [`${notMade} not made`]),
  ];
  return parts.join(", ");
}

const SIGNS: Readonly<Record<Outcome, string>> = {
  passed: "✓",
  failed: "✗",
  "not applicable": "-",
  "not testable": "?",
  "not made": "?",
};

/** One line for people; when it failed, what was seen and the duty that it breaks. */
export function consoleLine(result: CheckResult, expected: ExpectedFailures): string {
  const { outcome, clause, id, title, seconds, reason } = result;
  const line = `${SIGNS[outcome]} ${clause} ${id}: ${title}`;
  switch (judge(result, expected)) {
    case "ok":
      return outcome === "passed" ? `${line} (${seconds.toFixed(1)} s)` : `${line}: ${reason}`;
    case "expected":
      return `${line}: failed as expected: ${expected[id]}`;
    case "stale":
      return `${line}: is expected to fail and does not; remove it from the expected failures`;
    case "not made":
      return `${line}: not made: ${reason}`;
    case "failed":
      return `${line}\n${indent(`${(reason ?? "").trimEnd()}\n${dutyOf(clause)}`)}`;
  }
}

function dutyOf(id: string): string {
  return `${id} asks: ${CLAUSES.find((clause) => clause.id === id)?.text}`;
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, "    ");
}

export function toJson(report: Report, expected: ExpectedFailures): string {
  const results = report.results.map((result) => ({ ...result, verdict: judge(result, expected) }));
  return `${JSON.stringify({ ...report, summary: summarize(report, expected), results }, null, 2)}\n`;
}

/** JUnit's form, which most CI services read. */
export function toJunit(report: Report, expected: ExpectedFailures): string {
  const { results, harness } = report;
  const summary = summarize(report, expected);
  const seconds = results.reduce((total, result) => total + result.seconds, 0);
  const skipped = summary.notApplicable + summary.notTestable + summary.expectedFailures;
  const cases = results.map((result) => {
    const open = `  <testcase classname="${escapeXml(result.clause)}" name="${escapeXml(`${result.id}: ${result.title}`)}" time="${result.seconds}"`;
    const body = junitBody(result, expected);
    return body === "" ? `${open}/>` : `${open}>${body}</testcase>`;
  });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuite name="${escapeXml(`millrace-conformance ${harness}`)}" tests="${results.length}" failures="${summary.failed}" errors="${summary.notMade}" skipped="${skipped}" time="${seconds.toFixed(3)}">`,
    ...cases,
    "</testsuite>",
    "",
  ].join("\n");
}

function junitBody(result: CheckResult, expected: ExpectedFailures): string {
  const { outcome, reason, id } = result;
  switch (judge(result, expected)) {
    case "failed":
      return `<failure message="${escapeXml((reason ?? "").split("\n")[0] ?? "")}">${escapeXml(reason ?? "")}</failure>`;
    case "not made":
      return `<error message="${escapeXml(`not made: ${reason}`)}"/>`;
    case "stale":
      return '<failure message="is expected to fail and does not"/>';
    case "expected":
      return `<skipped message="${escapeXml(`failed as expected: ${expected[id]}`)}"/>`;
    case "ok":
      return outcome === "passed"
        ? ""
        : `<skipped message="${escapeXml(`${outcome}: ${reason}`)}"/>`;
  }
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
};

function escapeXml(text: string): string {
  return (
    text
      .replaceAll(/[&<>"]/g, (character) => ENTITIES[character] ?? character)
      // XML 1.0 has no place for control characters, escaped or not.
      .replaceAll(/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu, "�")
  );
}

export function toMarkdown(report: Report, expected: ExpectedFailures): string {
  const rows = report.results.map((result) => {
    const verdict = judge(result, expected);
    const outcome = verdict === "stale" ? "passed, though expected to fail" : result.outcome;
    const reason =
      verdict === "expected" ? `expected: ${expected[result.id]}` : (result.reason ?? "");
    return `| ${result.clause} | ${result.id} | ${cell(result.title)} | ${outcome} | ${cell(reason)} |`;
  });
  return [
    `# Conformance of ${report.harness}`,
    "",
    `Flavor \`${report.flavor}\`: ${closingLine(summarize(report, expected))}.`,
    "",
    "| clause | check | what | outcome | reason |",
    "| --- | --- | --- | --- | --- |",
    ...rows,
    "",
  ].join("\n");
}

function cell(text: string): string {
  return (text.split("\n")[0] ?? "").replaceAll("|", "\\|");
}
