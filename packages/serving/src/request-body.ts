import {
  formatIssue,
  type Issue,
  isRunName,
  MAX_ISSUES,
  MillraceError,
  RUN_NAME_RULE,
  suggest,
} from "@millrace/core";

/** The body of `POST /invoke`, checked. */
export interface InvokeRequest {
  readonly parameters: unknown;
  readonly runName: string | undefined;
  /** Milliseconds; undefined means the deployment's own deadline. */
  readonly timeoutMs: number | undefined;
}

const KEYS = ["parameters", "run_name", "timeout"];

/**
 * Checks the body of an invocation, all but the parameters themselves. Written by hand, because every request pays for it.
 * No body means no parameters.
 * @throws MillraceError `REQUEST_INVALID`
 */
export function readInvokeRequest(body: unknown, maxTimeoutSeconds: number): InvokeRequest {
  if (body === undefined) return { parameters: {}, runName: undefined, timeoutMs: undefined };
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw requestInvalid([{ path: [], message: 'must be an object such as {"parameters": {…}}' }]);
  }
  const issues: Issue[] = [];
  let parameters: unknown = {};
  let runName: string | undefined;
  let timeoutMs: number | undefined;
  for (const [key, value] of Object.entries(body)) {
    if (issues.length === MAX_ISSUES) {
      issues.push({ path: [], message: "and more" });
      break;
    }
    switch (key) {
      case "parameters":
        parameters = value;
        break;
      case "run_name":
        if (typeof value === "string" && isRunName(value)) runName = value;
        else issues.push({ path: [key], message: `must be ${RUN_NAME_RULE}` });
        break;
      case "timeout":
        if (typeof value === "number" && value > 0 && value <= maxTimeoutSeconds)
          timeoutMs = value * 1000;
        else
          issues.push({
            path: [key],
            message: `must be a number of seconds, more than 0 and at most ${maxTimeoutSeconds}`,
          });
        break;
      default:
        issues.push({ path: [key], message: unknownKey(key) });
    }
  }
  if (issues.length > 0) throw requestInvalid(issues);
  return { parameters, runName, timeoutMs };
}

function unknownKey(key: string): string {
  const meant = suggest(key, KEYS);
  if (meant !== undefined) return `unknown key; did you mean "${meant}"?`;
  return `unknown key; known are ${KEYS.join(", ")}. Parameters of the pipeline go into "parameters"`;
}

export function requestInvalid(issues: readonly Issue[]): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "REQUEST_INVALID",
    message: `${issues.map(formatIssue).join("; ")}.`,
    issues,
  });
}
