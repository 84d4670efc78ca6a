import { styleText } from "node:util";

export type Format = "bold" | "dim" | "red" | "green" | "yellow" | "magenta" | "cyan";

/** Paints a text, or leaves it as it is where colours are not wanted. */
export type Style = (format: Format, text: string) => string;

export const plain: Style = (_format, text) => text;

const coloured: Style = (format, text) => styleText(format, text, { validateStream: false });

/**
 * The style for a stream: colours on a terminal, unless NO_COLOR or `TERM=dumb` say otherwise; FORCE_COLOR wins over
 * the kind of stream. An empty variable counts as not set.
 */
export function styleFor(
  isTerminal: boolean,
  environment: Readonly<Record<string, string | undefined>>,
): Style {
  const isSet = (name: string): boolean => (environment[name] ?? "") !== "";
  if (isSet("NO_COLOR")) return plain;
  if (isSet("FORCE_COLOR")) return environment["FORCE_COLOR"] === "0" ? plain : coloured;
  return isTerminal && environment["TERM"] !== "dumb" ? coloured : plain;
}

const STATUS_FORMAT: Readonly<Record<string, Format>> = {
  RUNNING: "green",
  PENDING: "yellow",
  ABSENT: "dim",
  ERROR: "red",
  UNKNOWN: "magenta",
  completed: "green",
  succeeded: "green",
  running: "yellow",
  cached: "green",
  failed: "red",
  timed_out: "red",
  interrupted: "red",
  abandoned: "red",
  missing: "red",
  intended: "yellow",
  cancelled: "yellow",
  aborted: "yellow",
  skipped: "dim",
};

/** A status of a deployment, run, step, operation or resource in its colour. */
export function paintStatus(status: string, style: Style): string {
  const format = STATUS_FORMAT[status];
  return format === undefined ? status : style(format, status);
}
