import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { ERROR_CLASSES, MillraceError, messageOf } from "@millrace/core";
import { formatError } from "./error-text.ts";
import { usage } from "./inputs.ts";
import { plain } from "./style.ts";

/** One stream to write to. Writing never fails: what nobody reads any more is dropped. */
export interface Screen {
  readonly isTerminal: boolean;
  /** Characters in a line; undefined when it is no terminal. */
  readonly columns: number | undefined;
  /** Aborts when the reader went away, as `head` does, or nothing can be written any more. */
  readonly closed: AbortSignal;
  write(text: string): void;
}

/** Everything of the outside world that the command touches beside the client. */
export interface Terminal {
  readonly stdout: Screen;
  readonly stderr: Screen;
  readonly stdin: {
    readonly isTerminal: boolean;
    /** Everything up to the end of the input. @throws MillraceError `INPUT_NOT_UTF8` */
    readAll(): Promise<string>;
    /** The same, as it comes. */
    readonly bytes: AsyncIterable<Uint8Array>;
    /** One line. `hidden` shows nothing of what is typed. The signal ends the wait with its reason. */
    ask(
      question: string,
      options: { readonly hidden: boolean; readonly signal: AbortSignal },
    ): Promise<string>;
  };
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly directory: string;
  /** Calls back at each Ctrl-C, termination signal or closing of the terminal until the returned function is called. */
  onInterrupt(handler: () => void): () => void;
  /** Ends the process at once. */
  exit(code: number): void;
}

/** The terminal of this process. */
export function processTerminal(): Terminal {
  return {
    stdout: screenOf(process.stdout),
    stderr: screenOf(process.stderr),
    stdin: {
      isTerminal: process.stdin.isTTY === true,
      readAll: async () => utf8(await buffer(process.stdin)),
      bytes: process.stdin,
      ask,
    },
    environment: process.env,
    directory: process.cwd(),
    onInterrupt(handler) {
      process.on("SIGINT", handler).on("SIGTERM", handler).on("SIGHUP", handler);
      return () => {
        process.off("SIGINT", handler).off("SIGTERM", handler).off("SIGHUP", handler);
      };
    },
    exit: (code) => process.exit(code),
  };
}

/** Other characters in place of the bytes that are no UTF-8 would make another secret. */
function utf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw usage(
      "INPUT_NOT_UTF8",
      "What came from standard input is no text in UTF-8.",
      "Convert it to UTF-8, or encode it as text, for example with base64.",
    );
  }
}

/**
 * Waits until everything that was written has left the process, or nobody reads it any more.
 * @returns the exit code: another one when the results could not be written, as to a full disk.
 */
export async function finish({ stdout, stderr }: Terminal, code: number): Promise<number> {
  await Promise.all([flush(process.stdout), flush(process.stderr)]);
  if (code !== 0 || !stdout.closed.aborted || isWithoutReader(stdout.closed.reason)) return code;
  const error = outputLost(stdout.closed.reason);
  stderr.write(formatError(error, { style: plain, debug: false }));
  await flush(process.stderr);
  return ERROR_CLASSES[error.class].exitCode;
}

function flush(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((done) => {
    if (stream.destroyed) done();
    else stream.write("", () => done());
  });
}

function screenOf(stream: NodeJS.WriteStream): Screen {
  const closed = new AbortController();
  stream.on("error", (error) => closed.abort(error));
  return {
    isTerminal: stream.isTTY === true,
    columns: stream.isTTY ? stream.columns : undefined,
    closed: closed.signal,
    write(piece) {
      if (!closed.signal.aborted) stream.write(piece);
    },
  };
}

/** EPIPE comes from a pipe, EIO from a terminal that was closed: who does not read misses nothing. */
function isWithoutReader(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "EPIPE" || code === "EIO";
}

function outputLost(cause: unknown): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "OUTPUT_LOST",
    message: `The command was done, and what it prints could not be written: ${messageOf(cause)}.`,
    action: "Send standard output to where there is room.",
    cause,
  });
}

async function ask(
  question: string,
  options: { readonly hidden: boolean; readonly signal: AbortSignal },
): Promise<string> {
  // readline echoes to its output; for a hidden answer that is a stream which drops everything, the question included.
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  if (options.hidden) process.stderr.write(question);
  const lines = createInterface({
    input: process.stdin,
    output: options.hidden ? nowhere : process.stderr,
    terminal: true,
  });
  // With `terminal` set, readline sees Ctrl-C as a key: hand it on as the signal that it stands for.
  lines.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
  try {
    return await lines.question(question, { signal: options.signal });
  } catch (error) {
    if (options.signal.aborted) throw options.signal.reason;
    // Ctrl-D: no answer.
    if (error instanceof Error && error.name === "AbortError") return "";
    throw error;
  } finally {
    lines.close();
    if (options.hidden) process.stderr.write("\n");
  }
}
