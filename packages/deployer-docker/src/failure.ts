import { constants } from "node:os";
import {
  ERROR_CLASSES,
  errorFromSummary,
  isMillraceError,
  MillraceError,
  summarizeError,
} from "@millrace/core";
import { z } from "zod";
import { lastLines } from "./container-log.ts";
import type { Failure } from "./door-contract.ts";
import type { Engine } from "./engine.ts";
import { NODE_IS_NEEDED } from "./engine-errors.ts";
import type { Service } from "./sight.ts";

/** Lines of a container that an error shows, and how much of each. */
const LAST_LINES = 20;
const LONGEST_LINE = 500;

export function failureOf(revision: string, error: MillraceError): Failure {
  return { revision, error: summarizeError(error) };
}

export function errorOf({ error }: Failure): MillraceError {
  return errorFromSummary(error);
}

/** The last lines of a container; null where its log driver does not give them back. Bounded, since the door keeps it. */
export async function lastWritten(engine: Engine, name: string): Promise<readonly string[] | null> {
  try {
    const lines = await lastLines(engine, name, LAST_LINES);
    return lines.map((line) => line.slice(0, LONGEST_LINE));
  } catch (error) {
    if (isMillraceError(error) && error.code === "LOGS_UNREADABLE") return null;
    throw error;
  }
}

/** Why a container does not run, with the last that it wrote. */
export async function exitError(engine: Engine, service: Service): Promise<MillraceError> {
  const logs = await lastWritten(engine, service.name);
  const { message, action } = howItEnded(service);
  const code = codeOf(service, logs ?? []);
  return new MillraceError({
    class: classOf(service),
    code,
    message: `The container ${service.name} ${message}.${service.status === "paused" ? "" : lastWords(logs)}`,
    action: code === "IMAGE_WITHOUT_NODE" ? NODE_IS_NEEDED : action,
    details: { exitCode: service.exitCode, logs: [...(logs ?? [])] },
  });
}

function codeOf({ exitCode, outOfMemory }: Service, logs: readonly string[]): string {
  if (outOfMemory) return "OUT_OF_MEMORY";
  // The init process, which starts in any image, says so and ends like a shell that finds no such command.
  const lacksNode = exitCode === 127 && logs.some((line) => line.includes("exec node failed"));
  return lacksNode ? "IMAGE_WITHOUT_NODE" : "CONTAINER_EXITED";
}

/** The server ends with the exit code of its error's class: what the pipeline's own code did wrong shows there. */
export function classOf({
  exitCode,
  status,
}: Pick<Service, "exitCode" | "status">): "pipeline" | "platform" {
  const isOver = status === "exited" || status === "restarting";
  return isOver && exitCode === ERROR_CLASSES.pipeline.exitCode ? "pipeline" : "platform";
}

export function howItEnded(
  service: Pick<
    Service,
    "name" | "status" | "exitCode" | "outOfMemory" | "fault" | "restarts" | "memoryBytes"
  >,
): { readonly message: string; readonly action: string } {
  const { name, status, exitCode, outOfMemory, fault, restarts, memoryBytes } = service;
  if (status === "paused")
    return {
      message: "is paused",
      action: `\`docker unpause ${name}\` lets it go on, and a deploy puts another one in its place.`,
    };
  const correct = "See what it wrote, correct that, and deploy again.";
  if (fault !== "") return { message: `could not be started: ${fault}`, action: correct };
  const times = restarts === 0 ? "" : ` after ${restarts} restarts`;
  if (outOfMemory)
    return memoryBytes === 0
      ? {
          message: `was killed${times}, since its machine has no memory left`,
          action: "Give the engine's machine more memory, or make the service need less.",
        }
      : {
          message: `used more than the ${sizeOf(memoryBytes)} of memory that it may have, and was killed${times}`,
          action: "Give it more by the setting `memory`, or make it need less.",
        };
  const signal = signalOf(exitCode);
  return signal === undefined
    ? { message: `ended with exit code ${exitCode}${times}`, action: correct }
    : {
        message: `was ended by ${signal}${times}`,
        action: "Deploy again, or provision the deployment: it is started anew.",
      };
}

function sizeOf(bytes: number): string {
  return `${Math.round(bytes / 1024 ** 2)} MB`;
}

/** By the convention of shells, which Docker follows: 128 and the signal's number. */
function signalOf(exitCode: number): string | undefined {
  return Object.entries(constants.signals).find(([, number]) => number + 128 === exitCode)?.[0];
}

/** @param logs Null where the log cannot be read. */
export function lastWords(logs: readonly string[] | null): string {
  if (logs === null) return " Its log driver does not give back what it wrote.";
  if (logs.length === 0) return " It wrote nothing.";
  const last = logs.map(wordsOf).findLast((words) => words !== null) ?? null;
  return last === null ? "" : ` Its last words: ${last.slice(0, 300)}`;
}

const lineSchema = z.looseObject({ msg: z.string().optional(), run: z.unknown().optional() });

/** What a line says to a person; null for one that records a run or goes on with a line before it, as stacks do. */
function wordsOf(line: string): string | null {
  // A line that records a run may be cut, and is known by its beginning.
  if (/^\s|^\{"millrace":"run"/.test(line)) return null;
  if (!line.startsWith("{")) return line;
  try {
    const { data } = lineSchema.safeParse(JSON.parse(line));
    return data?.run === undefined ? (data?.msg ?? line) : null;
  } catch {
    return line;
  }
}

/** Why a container that runs is not ready in time. */
export async function notReadyError(
  engine: Engine,
  service: Service,
  seconds: number,
  detail: string | null,
  listening: readonly string[],
): Promise<MillraceError> {
  const logs = await lastWritten(engine, service.name);
  const refused = detail === "ECONNREFUSED";
  const elsewhere = listening.length > 0 ? `it listens on ${listening.join(", ")} only` : undefined;
  const why = refused
    ? `nothing listens on its port${elsewhere === undefined ? "" : `: ${elsewhere}`}`
    : (detail ?? "it was never asked");
  return new MillraceError({
    class: "platform",
    code: refused ? "CONTAINER_NOT_LISTENING" : "CONTAINER_NOT_READY",
    message: `The container ${service.name} was not ready after ${seconds} seconds: ${why}.${lastWords(logs)}`,
    action: refused
      ? "Let it listen on 0.0.0.0 and on the port that PORT names; `startTimeoutSeconds` gives it more time."
      : "See what it wrote; `startTimeoutSeconds` gives it more time.",
    details: { logs: [...(logs ?? [])] },
  });
}
