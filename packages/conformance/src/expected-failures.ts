import { readFile } from "node:fs/promises";
import { MillraceError, messageOf, parse, suggest } from "@millrace/core";
import { z } from "zod";
import { checks } from "./checks/index.ts";
import type { CheckResult } from "./run.ts";

/** Checks that are known to fail, by id, each with the reason. */
export type ExpectedFailures = Readonly<Record<string, string>>;

const schema = z.record(z.string(), z.string().min(1, "must say why"));

/**
 * Reads a file of expected failures: `{"check-id": "why it fails"}`.
 * @throws MillraceError `EXPECTED_FAILURES_INVALID`, also for an id that no check has.
 */
export async function readExpectedFailures(path: string): Promise<ExpectedFailures> {
  let content: unknown;
  try {
    content = JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    throw invalid(`${path} cannot be read: ${messageOf(cause)}`, cause);
  }
  const expected = parse(schema, content, {
    what: `The file ${path}`,
    code: "EXPECTED_FAILURES_INVALID",
    action: 'It must have the form {"check-id": "why it fails"}.',
  });
  const ids = checks.map(({ id }) => id);
  for (const id of Object.keys(expected)) {
    if (ids.includes(id)) continue;
    const meant = suggest(id, ids);
    throw invalid(
      `no check is called "${id}"${meant === undefined ? "" : `; did you mean "${meant}"?`}`,
    );
  }
  return expected;
}

function invalid(what: string, cause?: unknown): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "EXPECTED_FAILURES_INVALID",
    message: `The expected failures cannot be used: ${what}.`,
    action: "Correct the file; `--list` shows the ids of all checks.",
    cause,
  });
}

export type Verdict = "ok" | "failed" | "expected" | "stale" | "not made";

/**
 * What a result means beside what was expected. A check that was expected to fail and does not is a failure too; one that was not
 * made says nothing.
 */
export function judge(
  { id, outcome }: Pick<CheckResult, "id" | "outcome">,
  expected: ExpectedFailures,
): Verdict {
  if (outcome === "not made") return outcome;
  const awaited = Object.hasOwn(expected, id);
  if (outcome === "failed") return awaited ? "expected" : "failed";
  return awaited ? "stale" : "ok";
}
