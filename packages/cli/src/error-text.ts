import { inspect } from "node:util";
import { formatIssue, type MillraceError } from "@millrace/core";
import type { Style } from "./style.ts";
import { indent } from "./table.ts";

/** An error for people: code and message, its issues one per line, what to do; with `debug` also stack and causes. */
export function formatError(
  error: MillraceError,
  options: { readonly style: Style; readonly debug: boolean },
): string {
  const { style } = options;
  const issues = error.issues.map(formatIssue).filter((issue) => !error.message.includes(issue));
  return [
    `${style("red", "error")} ${style("bold", error.code)}: ${error.message}`,
    ...issues.map((issue) => `  ${issue}`),
    ...logLines(error.details["logs"]),
    ...(error.action === undefined ? [] : [error.action]),
    ...(options.debug ? [style("dim", inspect(error, { depth: 6 }))] : []),
    "",
  ].join("\n");
}

/** Last log lines that an error carries. */
function logLines(logs: unknown): string[] {
  if (!Array.isArray(logs) || logs.length === 0) return [];
  return [
    "Last log lines:",
    ...logs.map((line) => indent(typeof line === "string" ? line : textOfLine(line))),
  ];
}

function textOfLine(line: unknown): string {
  return typeof line === "object" &&
    line !== null &&
    "text" in line &&
    typeof line.text === "string"
    ? line.text
    : JSON.stringify(line);
}
