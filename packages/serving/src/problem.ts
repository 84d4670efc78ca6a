import { type Issue, MillraceError, messageOf } from "@millrace/core";

/**
 * Every way in which a request can fail: stable code, HTTP status, title. What a code means never changes.
 */
export const PROBLEMS = {
  REQUEST_MALFORMED: { status: 400, title: "The request is not well-formed" },
  BODY_MALFORMED: { status: 400, title: "The body is not well-formed JSON" },
  UNAUTHENTICATED: { status: 401, title: "The key is missing or wrong" },
  ROUTE_NOT_FOUND: { status: 404, title: "There is no such route" },
  METHOD_NOT_ALLOWED: { status: 405, title: "The route does not have this method" },
  REQUEST_TIMEOUT: { status: 408, title: "The request took too long to arrive" },
  BODY_TOO_LARGE: { status: 413, title: "The body is too large" },
  MEDIA_TYPE_UNSUPPORTED: { status: 415, title: "The body is not JSON in UTF-8" },
  CONTENT_ENCODING_UNSUPPORTED: { status: 415, title: "The body is compressed" },
  EXPECTATION_FAILED: { status: 417, title: "The expectation cannot be met" },
  REQUEST_INVALID: { status: 422, title: "The request is not valid" },
  QUEUE_FULL: { status: 429, title: "Too many requests are waiting" },
  HEADERS_TOO_LARGE: { status: 431, title: "The headers are too large" },
  STEP_FAILED: { status: 500, title: "A step failed" },
  STEP_TIMEOUT: { status: 500, title: "A step took too long" },
  STEP_INPUT_INVALID: { status: 500, title: "A step was given a wrong input" },
  STEP_OUTPUT_INVALID: { status: 500, title: "A step returned a wrong output" },
  OUTPUT_NOT_JSON: { status: 500, title: "An output is no JSON value" },
  INTERNAL: { status: 500, title: "The service failed" },
  TRANSFER_ENCODING_UNSUPPORTED: { status: 501, title: "The transfer encoding is unknown" },
  NOT_READY: { status: 503, title: "The service is starting" },
  DRAINING: { status: 503, title: "The service is shutting down" },
  QUEUE_TIMEOUT: { status: 503, title: "The request waited too long for its turn" },
  RUN_TIMEOUT: { status: 504, title: "The run did not finish in time" },
} as const satisfies Readonly<Record<string, { status: number; title: string }>>;

export type ProblemCode = keyof typeof PROBLEMS;

/** A failed request, ready to be told to the client: nothing in it is internal. */
export interface Problem {
  readonly code: ProblemCode;
  /** What happened to this request, in a sentence, and where possible what to do. */
  readonly detail: string;
  readonly issues?: readonly Issue[] | undefined;
  /** Seconds after which it makes sense to try again. */
  readonly retryAfterSeconds?: number;
  /** Further headers of the answer: names and values in turn. */
  readonly headers?: readonly string[];
  readonly step?: string | undefined;
  /** Message and stack of the failed step; only where the setting `exposeErrors` allows it. */
  readonly exposed?: { readonly message: string; readonly stack: string | null } | undefined;
}

/** The headers that belong to a problem: names and values in turn. */
export function problemHeaders({ headers = [], retryAfterSeconds }: Problem): readonly string[] {
  return retryAfterSeconds === undefined
    ? headers
    : [...headers, "Retry-After", String(retryAfterSeconds)];
}

export interface ProblemBody {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ProblemCode;
  readonly request_id: string;
  readonly run_id?: string;
  readonly step?: string;
  readonly issues?: readonly Issue[];
}

/** The members of RFC 9457, and ours beside them. */
export function problemBody(problem: Problem, requestId: string): ProblemBody {
  const { status, title } = PROBLEMS[problem.code];
  return {
    type: `urn:millrace:problem:${problem.code.toLowerCase().replaceAll("_", "-")}`,
    title,
    status,
    detail: problem.detail,
    code: problem.code,
    request_id: requestId,
    ...(problem.step === undefined ? {} : { step: problem.step }),
    ...(problem.issues === undefined ? {} : { issues: problem.issues }),
  };
}

/** What Fastify refuses before a handler sees it, by Fastify's own codes. */
const REFUSED: Readonly<Record<string, (limit: number) => Problem>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () => ({
    code: "MEDIA_TYPE_UNSUPPORTED",
    detail: "Send the body as JSON, with the header Content-Type: application/json.",
  }),
  FST_ERR_CTP_BODY_TOO_LARGE: (limit) => ({
    code: "BODY_TOO_LARGE",
    detail: `The body has more than ${limit} bytes.`,
  }),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () => ({
    code: "REQUEST_MALFORMED",
    detail: "The body is not as long as the header Content-Length says.",
  }),
  FST_ERR_BAD_URL: () => ({
    code: "REQUEST_MALFORMED",
    detail: "The URL's path is not well-formed.",
  }),
};

/** What our own reading of the body throws, by the code that the answer has as well. */
const THROWN = [
  "BODY_MALFORMED",
  "CONTENT_ENCODING_UNSUPPORTED",
  "MEDIA_TYPE_UNSUPPORTED",
  "REQUEST_INVALID",
] as const;

interface Thrown {
  readonly code?: unknown;
  readonly statusCode?: unknown;
}

/** The problem behind anything that was thrown while a request was read or handled. Null when it is our own fault. */
export function problemOf(thrown: unknown, bodyLimit: number): Problem | null {
  const { code, statusCode }: Thrown = typeof thrown === "object" && thrown !== null ? thrown : {};
  const refused = typeof code === "string" ? REFUSED[code] : undefined;
  if (refused !== undefined) return refused(bodyLimit);
  const ours = THROWN.find((known) => known === code);
  if (thrown instanceof MillraceError && ours !== undefined) return problemOfError(ours, thrown);
  if (statusCode === 400) {
    return { code: "REQUEST_MALFORMED", detail: `The body did not arrive: ${messageOf(thrown)}.` };
  }
  return null;
}

function problemOfError(code: ProblemCode, { message, issues }: MillraceError): Problem {
  return {
    code,
    detail: message,
    ...(issues.length === 0 ? {} : { issues }),
    ...(code === "CONTENT_ENCODING_UNSUPPORTED"
      ? { headers: ["Accept-Encoding", "identity"] }
      : {}),
  };
}
