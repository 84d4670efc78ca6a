import {
  type DeploymentRecord,
  type ErrorClass,
  type Issue,
  type JsonObject,
  MillraceError,
  messageOf,
} from "@millrace/core";
import { z } from "zod";
import type { Invocation, InvokeOptions } from "./client.ts";
import { authKeyName } from "./secrets/auth-key.ts";
import type { Workspace } from "./workspace.ts";

/** The parts of a problem body (RFC 9457) that become an error. */
const problemSchema = z.object({
  code: z.string(),
  detail: z.string().optional(),
  title: z.string().optional(),
  run_id: z.string().nullish(),
  step: z.string().nullish(),
  issues: z
    .array(z.object({ path: z.array(z.union([z.string(), z.number()])), message: z.string() }))
    .optional(),
});

const invocationSchema = z.looseObject({
  success: z.literal(true),
  outputs: z.record(z.string(), z.unknown()),
});

/**
 * Calls `POST /invoke` of a deployment with the key from the secret store.
 * @throws MillraceError by the status of the answer; `DEPLOYMENT_NO_URL`, `SERVICE_UNREACHABLE`, `INVOKE_TIMEOUT`
 */
export async function invoke(
  { secrets }: Workspace,
  record: DeploymentRecord,
  parameters: JsonObject,
  options: InvokeOptions,
): Promise<Invocation> {
  if (record.url === null) throw noUrl(record);
  const key =
    record.authKeyHash === null
      ? null
      : await secrets.get(authKeyName(record.id, record.authKeyHash));
  const { runName, timeoutSeconds, signal } = options;
  let response: Response;
  let body: unknown;
  try {
    response = await fetch(new URL("invoke", `${record.url.replace(/\/$/, "")}/`), {
      method: "POST",
      headers: {
        "content-type": "application/json",
        connection: "close",
        ...(key === null ? {} : { authorization: `Bearer ${key.reveal()}` }),
      },
      body: JSON.stringify({
        parameters,
        ...(runName === undefined ? {} : { run_name: runName }),
        ...(timeoutSeconds === undefined ? {} : { timeout: timeoutSeconds }),
      }),
      ...(signal === undefined ? {} : { signal }),
    });
    const text = await response.text();
    body = parseJson(text);
  } catch (error) {
    signal?.throwIfAborted();
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    throw new MillraceError({
      class: "unreachable",
      code: "SERVICE_UNREACHABLE",
      message: `Deployment "${record.name}" does not answer at ${record.url}: ${messageOf(cause)}`,
      action: `Run: millrace deployment refresh ${record.name}`,
      retryable: true,
      cause,
    });
  }
  if (response.status === 200 && invocationSchema.safeParse(body).success)
    return body as Invocation;
  throw problemError(record, response, body);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const CLASS_OF_STATUS: Readonly<Record<number, ErrorClass>> = {
  400: "usage",
  401: "usage",
  404: "not_found",
  413: "usage",
  415: "usage",
  422: "usage",
  429: "unreachable",
  500: "pipeline",
  503: "unreachable",
  504: "timeout",
};

function problemError(record: DeploymentRecord, response: Response, body: unknown): MillraceError {
  const problem = problemSchema.safeParse(body).data;
  const { status } = response;
  const retryAfter = Number(response.headers.get("retry-after"));
  const issues: readonly Issue[] | undefined = problem?.issues;
  const step = problem?.step == null ? "" : ` in step "${problem.step}"`;
  const what = problem?.detail ?? problem?.title ?? `it is no Millrace service (status ${status})`;
  return new MillraceError({
    class: CLASS_OF_STATUS[status] ?? "platform",
    code: problem?.code ?? "SERVICE_ANSWER_UNKNOWN",
    message:
      status === 500
        ? `The run failed${step}: ${what}`
        : `Deployment "${record.name}" refuses: ${what}`,
    action: actionFor(status, record),
    retryable: status === 429 || status === 503,
    ...(retryAfter > 0 ? { retryAfterMs: retryAfter * 1000 } : {}),
    ...(issues === undefined ? {} : { issues }),
    details: {
      status,
      ...(problem?.run_id == null ? {} : { runId: problem.run_id }),
      ...(problem?.step == null ? {} : { step: problem.step }),
    },
  });
}

function actionFor(status: number, record: DeploymentRecord): string | undefined {
  if (status === 401)
    return `The key in the secret store is not the service's: deploy again to bring them together.`;
  if (status === 422) return `See what it takes: millrace deployment describe ${record.name}`;
  if (status === 429 || status === 503) return "Try again in a moment.";
  if (status === 500) return `See the log: millrace deployment logs ${record.name}`;
  if (status === 504)
    return "Allow more time with --timeout, up to the deployment's requestTimeoutSeconds.";
  return undefined;
}

function noUrl(record: DeploymentRecord): MillraceError {
  return new MillraceError({
    class: "conflict",
    code: "DEPLOYMENT_NO_URL",
    message: `Deployment "${record.name}" is ${record.status} and has no URL.`,
    action: `Run: millrace deployment provision ${record.name}`,
  });
}
