import { isJsonObject, type JsonObject, type LogLine } from "@millrace/core";
import type { CommandContext } from "./command.ts";
import { jsonOrText } from "./inputs.ts";
import { formatValue } from "./plan-text.ts";
import type { Format, Style } from "./style.ts";
import { indent } from "./table.ts";
import { formatDuration } from "./time.ts";

/** Writes log lines as they come until they end, the user interrupts, or nobody reads them any more. @returns how many. */
export async function streamLogs(
  context: CommandContext,
  open: (signal: AbortSignal) => AsyncIterable<LogLine>,
): Promise<number> {
  let count = 0;
  const signal = AbortSignal.any([context.signal, context.terminal.stdout.closed]);
  try {
    for await (const line of open(signal)) {
      if (signal.aborted) break;
      count++;
      context.emit(`${context.json ? JSON.stringify(line) : formatLogLine(line, context.style)}\n`);
    }
  } catch (error) {
    // Stopping is how following ends.
    if (!signal.aborted) throw error;
  }
  return count;
}

const LEVELS: Readonly<Record<string, readonly [name: string, format: Format]>> = {
  trace: ["trace", "dim"],
  debug: ["debug", "dim"],
  info: ["info ", "green"],
  warn: ["warn ", "yellow"],
  error: ["error", "red"],
  fatal: ["fatal", "red"],
};

const LEVEL_NAMES: Readonly<Record<number, string>> = {
  10: "trace",
  20: "debug",
  30: "info",
  40: "warn",
  50: "error",
  60: "fatal",
};

/** A line of a service with its time: what is structured is made readable, everything else stays as it is. */
export function formatLogLine(line: LogLine, style: Style): string {
  const entry = line.text.startsWith("{") ? jsonOrText(line.text) : undefined;
  const structured = isJsonObject(entry) ? readEntry(entry, style) : undefined;
  const time = structured?.time ?? line.time;
  return [
    ...(time === null ? [] : [style("dim", time.toISOString())]),
    ...(line.replica === null ? [] : [style("cyan", line.replica)]),
    structured?.text ?? line.text,
  ].join(" ");
}

/** A run that is recorded in the log, in a sentence: whole it is for programs. */
function runOf({
  millrace,
  run,
}: JsonObject): { readonly id: string; readonly says: string } | undefined {
  if (millrace !== "run" || !isJsonObject(run)) return undefined;
  const { id, name, status, durationMs, error } = run;
  if (typeof id !== "string" || typeof name !== "string" || typeof status !== "string")
    return undefined;
  const time = typeof durationMs === "number" ? ` after ${formatDuration(durationMs)}` : "";
  const why = isJsonObject(error) && typeof error["message"] === "string" ? error["message"] : null;
  return { id, says: `Run ${name}: ${status}${time}.${why === null ? "" : ` ${why}`}` };
}

/** Undefined for what is not a line of a service's log. */
function readEntry(
  { level, time, msg, pid, hostname, error, ...fields }: JsonObject,
  style: Style,
): { readonly time: Date | null; readonly text: string } | undefined {
  const name = typeof level === "number" ? LEVEL_NAMES[level] : level;
  const [label, format] = (typeof name === "string" ? LEVELS[name] : undefined) ?? [];
  if (label === undefined || format === undefined || typeof msg !== "string") return undefined;
  const at = typeof time === "number" || typeof time === "string" ? new Date(time) : undefined;
  const stack = isJsonObject(error) && typeof error["stack"] === "string" ? error["stack"] : null;
  const run = runOf(fields);
  const plain = error === undefined || stack !== null ? fields : { ...fields, error };
  const shown = run === undefined ? plain : { run: run.id };
  const rest = Object.entries(shown).map(
    ([key, value]) => ` ${style("dim", `${key}=`)}${formatValue(value)}`,
  );
  return {
    time: at === undefined || Number.isNaN(at.getTime()) ? null : at,
    text: `${style(format, label)} ${run?.says ?? msg}${rest.join("")}${stack === null ? "" : `\n${indent(stack)}`}`,
  };
}
