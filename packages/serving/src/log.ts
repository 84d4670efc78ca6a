import { type Logger, redact, type Secret, type ServingSettings } from "@millrace/core";
import { destination, pino, stdTimeFunctions } from "pino";

export interface Log {
  /** A logger whose lines carry the given fields. */
  with(fields: Readonly<Record<string, unknown>>): Logger;
  /** Writes a line that is JSON already. */
  line(json: string): void;
  /** Writes out what is buffered. Called before the process ends. */
  flush(): void;
}

/**
 * Structured log lines to a file descriptor, written without blocking. Clear values of the secrets are replaced in every
 * line, whoever wrote it.
 */
export function openLog(
  fd: 1 | 2,
  level: ServingSettings["logLevel"],
  secrets: Iterable<Secret>,
): Log {
  const stream = destination({ dest: fd, sync: false });
  const hidden = [...secrets].filter((secret) => secret.reveal().length >= 4);
  const clean = (line: string): string => (hidden.length === 0 ? line : redact(line, hidden));
  const root = pino(
    {
      level,
      base: null,
      errorKey: "error",
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      hooks: { streamWrite: clean },
    },
    stream,
  );
  process.on("exit", () => stream.flushSync());
  return {
    with: (bindings) => {
      const write =
        (name: ServingSettings["logLevel"]) =>
        (message: string, fields?: Readonly<Record<string, unknown>>): void =>
          root[name]({ ...bindings, ...fields }, message);
      return {
        debug: write("debug"),
        info: write("info"),
        warn: write("warn"),
        error: write("error"),
      };
    },
    line: (json) => stream.write(`${clean(json)}\n`),
    flush: () => stream.flushSync(),
  };
}
