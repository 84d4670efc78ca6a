import { errorFromSummary, MillraceError, summarizeError } from "@millrace/core";
import { z } from "zod";
import { lastLines } from "./container-log.ts";
import type { Failure } from "./door-contract.ts";
import type { Engine } from "./engine.ts";
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

/** Bounded, since the door keeps it. */
async function lastWritten(engine: Engine, { name }: Service): Promise<readonly string[]> {
  const lines = await lastLines(engine, name, LAST_LINES);
  return lines.map((line) => line.slice(0, LONGEST_LINE));
}

/** Why a container does not run, with the last that it wrote. */
export async function exitError(engine: Engine, service: Service): Promise<MillraceError> {
  const logs = await lastWritten(engine, service);
  return new MillraceError({
    class: "platform",
    code: service.outOfMemory ? "OUT_OF_MEMORY" : "CONTAINER_EXITED",
    message: `The container ${service.name} ${howItEnded(service)}.${lastWords(logs)}`,
    action: service.outOfMemory
      ? "Give it more by the setting `memory`, or make it need less."
      : "See what it wrote, correct that, and deploy again.",
    details: { exitCode: service.exitCode, logs: [...logs] },
  });
}

function howItEnded({ status, exitCode, outOfMemory, fault, restarts }: Service): string {
  if (status === "paused") return "is paused";
  if (fault !== "") return `could not be started: ${fault}`;
  const times = restarts === 0 ? "" : ` after ${restarts} restarts`;
  if (outOfMemory) return `used more memory than it may have, and was killed${times}`;
  return `ended with exit code ${exitCode}${times}`;
}

function lastWords(logs: readonly string[]): string {
  const last = logs.map(wordsOf).findLast((words) => words !== null);
  return last === undefined || last === null
    ? " It wrote nothing."
    : ` Its last words: ${last.slice(0, 300)}`;
}

const lineSchema = z.looseObject({ msg: z.string(), run: z.unknown().optional() });

/** What a line says to a person; null for one that records a run or goes on with a line before it, as stacks do. */
function wordsOf(line: string): string | null {
  if (/^\s/.test(line)) return null;
  if (!line.startsWith("{")) return line;
  try {
    const { data } = lineSchema.safeParse(JSON.parse(line));
    if (data === undefined) return line;
    return data.run === undefined ? data.msg : null;
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
  const logs = await lastWritten(engine, service);
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
    details: { logs: [...logs] },
  });
}
