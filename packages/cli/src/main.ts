import type { Client, ConnectOptions } from "@millrace/control";
import { ERROR_CLASSES, MillraceError, summarizeError, toMillraceError } from "@millrace/core";
import type { Command, CommandContext, Raw, Result } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { formatError } from "./error-text.ts";
import { usage } from "./inputs.ts";
import { buildProgram, type Globals, Printed } from "./program.ts";
import { Progress } from "./progress.ts";
import { plain, styleFor } from "./style.ts";
import type { Screen, Terminal } from "./terminal.ts";

/** What the command runs in. */
export interface Host {
  readonly terminal: Terminal;
  readonly version: string;
  /** Default: `connect` of @millrace/control, loaded when the first command needs it. */
  readonly connect?: (options: ConnectOptions) => Promise<Client>;
}

/**
 * Runs one command line, without the leading `node` and `millrace`. Results go to standard output, everything else to
 * standard error.
 * @returns the exit code: 0, or that of the error's class.
 */
export async function main(argv: readonly string[], host: Host): Promise<number> {
  const { terminal } = host;
  const interruption = new AbortController();
  const connection = new Connection(host);
  let exitCode = 0;
  const program = buildProgram({
    entries: COMMANDS,
    version: host.version,
    writeOut: (text) => terminal.stdout.write(text),
    writeErr: (text) => terminal.stderr.write(text),
    execute: async (command, raw) => {
      exitCode = await execute(command, raw, {
        globals: program.opts<Globals & Record<string, unknown>>(),
        host,
        connection,
        interruption,
      });
    },
  });
  const stopListening = terminal.onInterrupt(() => {
    if (interruption.signal.aborted) {
      terminal.stderr.write("\n");
      return terminal.exit(ERROR_CLASSES.aborted.exitCode);
    }
    interruption.abort(interrupted());
    setTimeout(
      () => terminal.stderr.write("\nStopping. Press Ctrl-C again to leave at once.\n"),
      STOP_NOTICE_MS,
    ).unref();
  });
  try {
    await program.parseAsync(argv[0] === "help" ? [...argv.slice(1), "--help"] : argv, {
      from: "user",
    });
    return exitCode;
  } catch (thrown) {
    if (thrown instanceof Printed) return thrown.exitCode;
    return printError(
      thrown,
      program.opts<Globals & Record<string, unknown>>(),
      terminal,
      interruption.signal,
    );
  } finally {
    stopListening();
    await connection.close();
  }
}

/** What stops sooner needs no notice. */
const STOP_NOTICE_MS = 500;

interface Session {
  readonly globals: Globals;
  readonly host: Host;
  readonly connection: Connection;
  readonly interruption: AbortController;
}

async function execute(
  command: Command,
  raw: ReadonlyMap<string, Raw>,
  session: Session,
): Promise<number> {
  const { globals } = session;
  if (globals.output !== "table" && globals.output !== "json") {
    throw usage(
      "OPTION_INVALID",
      `--output cannot be ${JSON.stringify(globals.output)}.`,
      "Use table or json.",
    );
  }
  const result = await command.execute(contextOf(session), raw);
  if (result === undefined) return 0;
  print(result, session.host.terminal.stdout, globals.output === "json");
  return result.exitCode ?? 0;
}

function print(result: Result, screen: Screen, json: boolean): void {
  const text = json ? JSON.stringify(result.json, null, 2) : result.text();
  if (text !== "") screen.write(`${text}\n`);
}

function printError(
  thrown: unknown,
  globals: Globals,
  terminal: Terminal,
  interruption: AbortSignal,
): number {
  const wasStopped =
    interruption.aborted && thrown instanceof Error && thrown.name === "AbortError";
  const error = toMillraceError(wasStopped ? interruption.reason : thrown);
  const style = globals.color ? styleFor(terminal.stderr.isTerminal, terminal.environment) : plain;
  terminal.stderr.write(formatError(error, { style, debug: globals.debug === true }));
  // One line, so that commands which print a line per event end with a line as well.
  if (globals.output === "json")
    terminal.stdout.write(`${JSON.stringify({ error: summarizeError(error) })}\n`);
  return ERROR_CLASSES[error.class].exitCode;
}

function interrupted(): MillraceError {
  return new MillraceError({
    class: "aborted",
    code: "INTERRUPTED",
    message: "Stopped before it was done.",
    action: "Run the same command again: it goes on where it stood.",
  });
}

function contextOf({ globals, host, connection, interruption }: Session): CommandContext {
  const { terminal } = host;
  const { signal } = interruption;
  const styleOf = (screen: Screen) =>
    globals.color ? styleFor(screen.isTerminal, terminal.environment) : plain;
  const json = globals.output === "json";
  const silent = globals.quiet === true || json;
  const progress = new Progress(terminal.stderr, styleOf(terminal.stderr));
  const tell = (text: string) => {
    if (!silent) void progress.aside(() => terminal.stderr.write(`${text}\n`));
  };
  return {
    terminal,
    version: host.version,
    style: styleOf(terminal.stdout),
    sideStyle: styleOf(terminal.stderr),
    json,
    yes: globals.yes === true,
    signal,
    client: () => connection.open(globals, signal),
    during: (message, work) =>
      silent
        ? work({ signal, onProgress: () => {} })
        : progress.during(message, (onProgress) => work({ signal, onProgress })),
    async confirm(question, about) {
      if (globals.yes === true) {
        tell(about);
        return true;
      }
      if (!terminal.stdin.isTerminal) {
        tell(about);
        throw usage(
          "CONFIRMATION_NEEDED",
          `${question} Nobody can answer: standard input is no terminal.`,
          "Add --yes to go on without a question.",
        );
      }
      const answer = await progress.aside(() => {
        terminal.stderr.write(`${about}\n`);
        return terminal.stdin.ask(`${question} [y/N] `, { hidden: false, signal });
      });
      return /^y(es)?$/i.test(answer.trim());
    },
    tell,
    emit: (text) => terminal.stdout.write(text),
  };
}

/** The client, made when it is first asked for and closed at the end. */
class Connection {
  readonly #host: Host;
  #client: Promise<Client> | undefined;

  constructor(host: Host) {
    this.#host = host;
  }

  /** An interruption does not wait for a configuration that is still loading: nothing has begun that could be left undone. */
  open(globals: Globals, signal: AbortSignal): Promise<Client> {
    this.#client ??= unlessAborted(
      signal,
      this.#connect({
        signal,
        directory: this.#host.terminal.directory,
        ...(globals.config === undefined ? {} : { configFile: globals.config }),
        ...(globals.home === undefined ? {} : { home: globals.home }),
      }),
    );
    return this.#client;
  }

  async close(): Promise<void> {
    // Where connecting failed there is nothing to close, and the command has told why.
    const client = await this.#client?.catch(() => undefined);
    await client?.close();
  }

  async #connect(options: ConnectOptions): Promise<Client> {
    const connect = this.#host.connect ?? (await import("@millrace/control")).connect;
    return connect(options);
  }
}

function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    work.then(resolve, reject);
  });
}
