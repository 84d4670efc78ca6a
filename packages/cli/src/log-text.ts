import type { LogLine } from "@millrace/core";
import type { CommandContext } from "./command.ts";
import { isJsonObject, jsonOrText } from "./inputs.ts";
import { formatValue } from "./plan-text.ts";
import type { Format, Style } from "./style.ts";

/** Writes log lines as they come until they end, the user interrupts, or nobody reads them any more. */
export async function streamLogs(
  context: CommandContext,
  open: (signal: AbortSignal) => AsyncIterable<LogLine>,
): Promise<void> {
  const signal = AbortSignal.any([context.signal, context.terminal.stdout.closed]);
  try {
    for await (const line of open(signal)) {
      if (signal.aborted) return;
      context.emit(`${context.json ? JSON.stringify(line) : formatLogLine(line, context.style)}\n`);
    }
  } catch (error) {
    // Stopping is how following ends.
    if (!signal.aborted) throw error;
  }
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

/** A line of a service: its structured lines are made readable, everything else stays as it is. */
export function formatLogLine(line: LogLine, style: Style): string {
  const replica = line.replica === null ? "" : `${style("cyan", line.replica)} `;
  return replica + (formatStructured(line.text, style) ?? line.text);
}

function formatStructured(text: string, style: Style): string | undefined {
  const entry = text.startsWith("{") ? jsonOrText(text) : undefined;
  if (!isJsonObject(entry)) return undefined;
  const { level, time, msg, pid, hostname, ...fields } = entry;
  const name = typeof level === "number" ? LEVEL_NAMES[level] : level;
  const [label, format] = (typeof name === "string" ? LEVELS[name] : undefined) ?? [];
  if (label === undefined || format === undefined || typeof msg !== "string") return undefined;
  const at = typeof time === "number" || typeof time === "string" ? new Date(time) : undefined;
  const clock =
    at === undefined || Number.isNaN(at.getTime()) ? "" : `${style("dim", at.toISOString())} `;
  const rest = Object.entries(fields).map(
    ([key, value]) => ` ${style("dim", `${key}=`)}${formatValue(value)}`,
  );
  return `${clock}${style(format, label)} ${msg}${rest.join("")}`;
}
