import type { LogLine } from "@millrace/core";

/** `2026-03-01T12:00:00.000Z worker-1 stdout the text`: one line of a log file. */
export function formatLogLine(line: LogLine): string {
  return `${(line.time ?? new Date(0)).toISOString()} ${line.replica ?? "-"} ${line.stream} ${line.text}\n`;
}

const FORM = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (\S+) (stdout|stderr) ?(.*)$/s;

/** A line that does not have the form, such as one cut off by a full disk, is text that nobody is known to have written. */
export function parseLogLine(text: string): LogLine {
  const [, time, replica, stream, rest] = FORM.exec(text) ?? [];
  if (time === undefined || replica === undefined || rest === undefined) {
    return { time: null, replica: null, stream: "stdout", text };
  }
  return {
    time: new Date(time),
    replica,
    stream: stream === "stderr" ? "stderr" : "stdout",
    text: rest,
  };
}
