import {
  isMillraceError,
  type Logger,
  messageOf,
  redact,
  SERVICE_END_SECONDS,
  type Secret,
  type ServingSettings,
} from "@millrace/core";
import { pino, stdSerializers, stdTimeFunctions } from "pino";
import { LogWriter } from "./log-writer.ts";
import { originalStack } from "./source-map.ts";

export interface Log {
  /** A logger whose lines carry the given fields. */
  with(fields: Readonly<Record<string, unknown>>): Logger;
  /** Writes a line that is JSON already. */
  line(json: string): void;
  /** Resolves at the end of this turn of the event loop: whether every line so far is written. */
  written(): Promise<boolean>;
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
  // Node makes a pipe non-blocking when it opens the stream.
  const writer = new LogWriter((fd === 1 ? process.stdout : process.stderr).fd);
  let patienceMs = SERVICE_END_SECONDS.log * 1000;
  const flush = (): void => {
    if (!writer.flush(patienceMs)) patienceMs = 0;
  };
  const hidden = [...secrets].filter((secret) => secret.reveal().length >= 4);
  const clean = (line: string): string => (hidden.length === 0 ? line : redact(line, hidden));
  const root = pino(
    {
      level,
      base: null,
      errorKey: "error",
      serializers: { error: describe, err: describe },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      hooks: { streamWrite: clean },
    },
    writer,
  );
  process.on("exit", flush);
  return {
    with: (bindings) => {
      const write =
        (name: ServingSettings["logLevel"]) =>
        (message: string, fields?: Readonly<Record<string, unknown>>): void => {
          try {
            root[name]({ ...bindings, ...fields }, message);
          } catch (error) {
            // Fields of user code may throw when they are read. A log never fails what it tells of.
            root[name](
              { ...bindings, error },
              `${messageOf(message)} (Its fields cannot be read.)`,
            );
          }
        };
      return {
        debug: write("debug"),
        info: write("info"),
        warn: write("warn"),
        error: write("error"),
      };
    },
    line: (json) => writer.write(`${clean(json)}\n`),
    written: () => writer.written(),
    flush,
  };
}

/** An error as fields of a line. User code may throw anything, also what throws when it is looked at. */
function describe(error: unknown): unknown {
  try {
    if (!(error instanceof Error)) return error;
    const described = stdSerializers.err(error);
    // pino adds the messages of the causes, which the stack has, and our own messages too.
    return {
      ...described,
      message: error.message,
      stack: originalStack(described.stack, isMillraceError(error)),
    };
  } catch {
    return { message: messageOf(error) };
  }
}
