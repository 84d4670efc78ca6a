import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { text as textOf } from "node:stream/consumers";
import {
  type DeploymentRecord,
  type ErrorClass,
  type Issue,
  type JsonObject,
  MillraceError,
  messageOf,
  type Secret,
} from "@millrace/core";
import { z } from "zod";
import type { Invocation, InvokeOptions } from "./client.ts";
import { type EventListener, isEventStream, readEvents } from "./invoke-events.ts";
import { authKeyName } from "./secrets/auth-key.ts";
import type { SecretFile } from "./secrets/secret-file.ts";
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

/** How much longer than the service's own deadline its answer may take, in milliseconds. */
const ANSWER_GRACE_MS = 10_000;

/**
 * Calls `POST /invoke` of a deployment with the key from the secret store.
 * @throws MillraceError by the status of the answer; `DEPLOYMENT_NO_URL`, `AUTH_KEY_MISSING`, `SERVICE_UNREACHABLE`,
 * `INVOKE_TIMEOUT`, `ABORTED`
 */
export async function invoke(
  { secrets }: Pick<Workspace, "secrets">,
  record: DeploymentRecord,
  parameters: JsonObject,
  { runName, timeoutSeconds, signal, onEvent, onDropped }: InvokeOptions,
): Promise<Invocation> {
  if (record.url === null) throw noUrl(record);
  const key = await keyOf(record, secrets);
  const body = {
    parameters,
    ...(runName === undefined ? {} : { run_name: runName }),
    ...(timeoutSeconds === undefined ? {} : { timeout: timeoutSeconds }),
  };
  const deadline =
    timeoutSeconds === undefined
      ? undefined
      : AbortSignal.timeout(timeoutSeconds * 1000 + ANSWER_GRACE_MS);
  const signals = [signal, deadline].filter((one) => one !== undefined);
  let heard: { readonly error: unknown } | undefined;
  const listener: EventListener | null =
    onEvent === undefined
      ? null
      : {
          onEvent(event) {
            try {
              onEvent(event);
            } catch (error) {
              heard = { error };
              throw error;
            }
          },
          onDropped: (events) => onDropped?.(events),
        };
  let answer: Answer;
  try {
    const place = new URL("invoke", `${record.url.replace(/\/$/, "")}/`);
    answer = await post(place, key, JSON.stringify(body), listener, AbortSignal.any(signals));
  } catch (cause) {
    // What the caller's own function threw is no failure of the service.
    if (heard !== undefined) throw heard.error;
    if (signal?.aborted === true) throw aborted(record, signal.reason);
    if (deadline?.aborted === true) throw noAnswerInTime(record, cause);
    throw isCutOff(cause) ? cutOff(record, cause) : unreachable(record, cause);
  }
  const value = parseJson(answer.text);
  if (answer.status === 200 && invocationSchema.safeParse(value).success)
    return value as Invocation;
  throw problemError(record, answer, value);
}

async function keyOf(record: DeploymentRecord, secrets: SecretFile): Promise<Secret | null> {
  if (record.authKeyHash === null) return null;
  const key = await secrets.get(authKeyName(record.id, record.authKeyHash));
  if (key !== null) return key;
  throw new MillraceError({
    class: "usage",
    code: "AUTH_KEY_MISSING",
    message: `The key of deployment "${record.name}" is not in the secret store of this machine.`,
    action:
      "Invoke where it was deployed, or call its URL with the key; deploying with --generate-auth-key makes another one.",
  });
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** By node:http, because a run may take longer than the five minutes after which `fetch` gives up. */
async function post(
  place: URL,
  key: Secret | null,
  body: string,
  listener: EventListener | null,
  signal: AbortSignal,
): Promise<Answer> {
  const { request } =
    place.protocol === "https:" ? await import("node:https") : await import("node:http");
  const headers = {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    connection: "close",
    accept: listener === null ? "application/json" : "text/event-stream, application/json",
    ...(key === null ? {} : { authorization: `Bearer ${key.reveal()}` }),
  };
  return new Promise((resolve, reject) => {
    const sent = request(place, { method: "POST", headers, signal }, (response) => {
      read(response, listener).then(resolve, reject);
    });
    sent.on("error", reject).end(body);
  });
}

async function read(response: IncomingMessage, listener: EventListener | null): Promise<Answer> {
  const { headers, statusCode: status = 0 } = response;
  if (listener === null || !isEventStream(response))
    return { status, headers, text: await textOf(response) };
  return { headers, ...(await readEvents(response, listener)) };
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

/** Where the status does not tell it: as a batch run that ends so. */
const CLASS_OF_CODE: Readonly<Record<string, ErrorClass>> = { STEP_TIMEOUT: "timeout" };

function problemError(record: DeploymentRecord, answer: Answer, body: unknown): MillraceError {
  const problem = problemSchema.safeParse(body).data;
  const { status } = answer;
  const retryAfter = Number(answer.headers["retry-after"]);
  const issues: readonly Issue[] | undefined = problem?.issues;
  const what = problem?.detail ?? problem?.title ?? `it is no Millrace service (status ${status})`;
  return new MillraceError({
    class: CLASS_OF_CODE[problem?.code ?? ""] ?? CLASS_OF_STATUS[status] ?? "platform",
    code: status === 401 ? "AUTH_KEY_WRONG" : (problem?.code ?? "SERVICE_ANSWER_UNKNOWN"),
    message: status === 500 ? what : `Deployment "${record.name}" refuses: ${what}`,
    action: actionFor(status, record, problem?.run_id ?? null),
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

function actionFor(
  status: number,
  record: DeploymentRecord,
  runId: string | null,
): string | undefined {
  if (status === 401)
    return `The key in the secret store is not the service's: deploy again to bring them together.`;
  if (status === 422) return `See what it takes: npx millrace deployment describe ${record.name}`;
  if (status === 429 || status === 503) return "Try again in a moment.";
  if (status === 500) {
    const run = runId === null ? "" : `npx millrace run show ${runId}, and `;
    return `See why: ${run}npx millrace deployment logs ${record.name}`;
  }
  if (status === 504)
    return "Allow more time with --timeout, up to the deployment's requestTimeoutSeconds.";
  return undefined;
}

function unreachable(record: DeploymentRecord, cause: unknown): MillraceError {
  return new MillraceError({
    class: "unreachable",
    code: "SERVICE_UNREACHABLE",
    message: `Deployment "${record.name}" does not answer at ${record.url}: ${reasonOf(cause)}`,
    action: `See what became of it: npx millrace deployment refresh ${record.name}. Bring it back: npx millrace deployment provision ${record.name}`,
    retryable: true,
    cause,
  });
}

/** Node's word for a connection that ended while an answer was awaited or under way. */
function isCutOff(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause && cause.code === "ECONNRESET";
}

function cutOff(record: DeploymentRecord, cause: unknown): MillraceError {
  return new MillraceError({
    class: "unreachable",
    code: "SERVICE_UNREACHABLE",
    message: `Deployment "${record.name}" ended the connection before it had answered. How far the run came is not known.`,
    action: `See whether it crashed: npx millrace deployment describe ${record.name}, and npx millrace deployment logs ${record.name}`,
    cause,
  });
}

/** Where a name has several addresses, Node tells of each one's failure and of none in its message. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(messageOf).join("; ");
  return messageOf(error);
}

function noAnswerInTime(record: DeploymentRecord, cause: unknown): MillraceError {
  return new MillraceError({
    class: "timeout",
    code: "INVOKE_TIMEOUT",
    message: `Deployment "${record.name}" did not answer in time. The run may go on.`,
    action: "Look for it with `npx millrace run list`, or allow more time with --timeout.",
    cause,
  });
}

function aborted(record: DeploymentRecord, cause: unknown): MillraceError {
  return new MillraceError({
    class: "aborted",
    code: "ABORTED",
    message: `The call of deployment "${record.name}" was stopped; the service cancels the run.`,
    cause,
  });
}

function noUrl(record: DeploymentRecord): MillraceError {
  return new MillraceError({
    class: "conflict",
    code: "DEPLOYMENT_NO_URL",
    message: `Deployment "${record.name}" is ${record.status} and has no URL.`,
    action: `Run: npx millrace deployment provision ${record.name}`,
  });
}
