import { connect } from "node:net";
import { errorFromSummary, MillraceError, parse } from "@millrace/core";
import { type ControlRequest, responseSchema, type Status } from "./control-protocol.ts";
import { parseJson } from "./json-text.ts";
import type { Places } from "./places.ts";
import { isErrorCode } from "./system-error.ts";

type Question =
  | { readonly type: "status" }
  | Omit<Extract<ControlRequest, { type: "update" }>, "deploymentId">
  | Omit<Extract<ControlRequest, { type: "stop" }>, "deploymentId">;

const ANSWER_TIMEOUT_MS = 5_000;

/**
 * Asks the deployment's supervisor. Null when none is there: nobody listens on its socket, or it went away before it
 * answered.
 * @throws MillraceError what the supervisor refused with, or of class `unreachable`: `SUPERVISOR_SILENT` when it does
 * not answer, `SUPERVISOR_DENIED` when this user may not ask.
 */
export async function askSupervisor(
  places: Places,
  question: Question,
  signal: AbortSignal | undefined,
): Promise<Status | null> {
  const line = JSON.stringify({ ...question, deploymentId: places.deploymentId });
  const answer = await exchange(places, line, signal);
  if (answer === null) return null;
  const response = parse(responseSchema, parseJson(answer), {
    what: `The answer of the supervisor of deployment ${places.deploymentId}`,
    code: "SUPERVISOR_INCOMPATIBLE",
    class: "platform",
    action: "Another version of Millrace started it. End that process, then provision again.",
  });
  if (!response.ok) throw errorFromSummary(response.error);
  return response.status;
}

function exchange(
  places: Places,
  line: string,
  signal: AbortSignal | undefined,
): Promise<string | null> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const socket = connect(places.socket);
    const chunks: Buffer[] = [];
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      socket.destroy();
      settle();
    };
    const abort = (): void => finish(() => reject(signal?.reason));
    const timer = setTimeout(() => finish(() => reject(silent(places))), ANSWER_TIMEOUT_MS);
    signal?.addEventListener("abort", abort);
    socket.once("connect", () => socket.write(`${line}\n`));
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      if (chunk.includes(10)) finish(() => resolve(Buffer.concat(chunks).toString("utf8")));
    });
    socket.once("end", () => finish(() => resolve(null)));
    socket.once("error", (error) =>
      finish(() => {
        if (isErrorCode(error, "ENOENT", "ENOTDIR", "ECONNREFUSED", "ECONNRESET", "EPIPE")) {
          resolve(null);
        } else reject(failed(places, error));
      }),
    );
  });
}

function silent(places: Places): MillraceError {
  return new MillraceError({
    class: "unreachable",
    code: "SUPERVISOR_SILENT",
    message: `The supervisor of deployment ${places.deploymentId} has not answered for ${ANSWER_TIMEOUT_MS / 1000} seconds.`,
    action: "See whether that process is stopped or the machine is overloaded, then try again.",
    retryable: true,
  });
}

function failed(places: Places, cause: Error): MillraceError {
  if (isErrorCode(cause, "EACCES", "EPERM")) {
    return new MillraceError({
      class: "unreachable",
      code: "SUPERVISOR_DENIED",
      message: `This user may not talk to the supervisor of deployment ${places.deploymentId} at ${places.socket}.`,
      action: "Run the command as the user who deployed it.",
      cause,
    });
  }
  return new MillraceError({
    class: "unreachable",
    code: "SUPERVISOR_UNREACHABLE",
    message: `Cannot talk to the supervisor of deployment ${places.deploymentId}: ${cause.message}.`,
    action: "Try again.",
    retryable: true,
    cause,
  });
}
