import { type ChildProcess, fork, type SendHandle } from "node:child_process";
import { StringDecoder } from "node:string_decoder";
import {
  type ErrorSummary,
  errorFromSummary,
  MillraceError,
  messageOf,
  redact,
  SERVICE_END_ALLOWANCE_SECONDS,
  type Secret,
  summarizeError,
} from "@millrace/core";
import { sendSocket } from "./listening-socket.ts";
import { type ProcessIdentity, startTimeOf } from "./process-identity.ts";
import { type ParentMessage, workerMessageSchema } from "./worker-protocol.ts";

export interface WorkerOptions {
  readonly replica: string;
  readonly runtime: string;
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly startTimeoutSeconds: number;
  readonly silenceTimeoutSeconds: number;
  readonly socket: SendHandle;
  /** Taken out of what the worker writes and says. */
  readonly secrets: readonly Secret[];
  /** Called for each batch of lines that the worker writes. */
  readonly onLines: (stream: "stdout" | "stderr", lines: readonly string[]) => void;
}

const LAST_LINES = 20;
const MAX_LINE_LENGTH = 65_536;
/** How long output may still come after the process ended: a child of its own may keep the pipes open for ever. */
const OUTPUT_GRACE_MS = 500;
/** So many questions in a row go unanswered before a worker counts as silent. Several, since this process may be held up too. */
const PINGS = 3;

/** One process that runs a snapshot and accepts connections from the shared socket. */
export class Worker {
  readonly replica: string;
  readonly identity: ProcessIdentity;
  /** Null once the worker accepts connections, or what kept it from that. */
  readonly started: Promise<ErrorSummary | null>;
  /** Resolves once the process is gone, with why it went. */
  readonly exited: Promise<ErrorSummary>;
  state: "starting" | "ready" | "draining" = "starting";
  readonly #child: ChildProcess;
  readonly #lastLines: string[] = [];
  #failure: ErrorSummary | null = null;
  #unanswered = 0;

  constructor(options: WorkerOptions) {
    this.replica = options.replica;
    this.#child = fork(options.runtime, ["serve", options.directory], {
      cwd: options.directory,
      env: options.environment,
      execArgv: [],
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    const pid = this.#child.pid ?? -1;
    this.identity = { pid, startTime: pid === -1 ? null : startTimeOf(pid) };
    this.#collect("stdout", options);
    this.#collect("stderr", options);
    this.exited = this.#watchExit();
    this.started = this.#watchStart(options);
  }

  /** Finishes what is in flight and exits; killed when that takes longer than its deadline. */
  async drain(seconds: number, successor: boolean): Promise<void> {
    this.state = "draining";
    this.#send({ type: "drain", seconds, successor });
    // The worker keeps the deadline by itself, and has more to do after it.
    const limitMs = (seconds + SERVICE_END_ALLOWANCE_SECONDS) * 1000;
    const timer = setTimeout(() => this.kill(), limitMs);
    await this.exited;
    clearTimeout(timer);
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  #send(message: ParentMessage): void {
    // A worker whose channel is gone is about to exit, and `exited` tells so.
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  #watchStart(options: WorkerOptions): Promise<ErrorSummary | null> {
    const listen: ParentMessage = { type: "listen" };
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#failure = startTimeout(options.startTimeoutSeconds);
        this.kill();
      }, options.startTimeoutSeconds * 1000);
      this.#child.on("message", (message: unknown) => {
        const known = workerMessageSchema.safeParse(message);
        if (!known.success) return;
        if (known.data.type === "alive") this.#unanswered = 0;
        if (known.data.type === "failed") {
          this.#failure = summarizeError(errorFromSummary(known.data.error), options.secrets);
        }
        if (known.data.type === "ready" && this.state === "starting") {
          this.state = "ready";
          this.#watchSilence(options.silenceTimeoutSeconds);
          clearTimeout(timer);
          resolve(null);
        }
      });
      void this.exited.then((error) => {
        clearTimeout(timer);
        resolve(error);
      });
      if (this.#child.connected) sendSocket(this.#child, listen, options.socket);
    });
  }

  /** Nothing but the worker itself knows whether it could answer a request: all share one socket. */
  #watchSilence(seconds: number): void {
    const timer = setInterval(
      () => {
        if (this.state !== "ready") return clearInterval(timer);
        if (this.#unanswered === PINGS) {
          this.#failure = silent(seconds);
          this.kill();
        }
        this.#unanswered += 1;
        this.#send({ type: "ping" });
      },
      (seconds * 1000) / PINGS,
    );
    void this.exited.then(() => clearInterval(timer));
  }

  #watchExit(): Promise<ErrorSummary> {
    return new Promise((resolve) => {
      let ended = false;
      const end = (error: ErrorSummary): void => {
        if (ended) return;
        ended = true;
        resolve({ ...error, details: { ...error.details, logs: [...this.#lastLines] } });
      };
      // Emitted when the process could not be started, and when it could not be killed or sent a message.
      this.#child.on("error", (cause) => {
        if (this.#child.pid === undefined) end(summarizeError(notStarted(cause)));
      });
      this.#child.once("exit", (code, signal) => {
        const error = this.#failure ?? exitError(code, signal);
        this.#child.once("close", () => end(error));
        setTimeout(() => end(error), OUTPUT_GRACE_MS).unref();
      });
    });
  }

  #collect(stream: "stdout" | "stderr", { onLines, secrets }: WorkerOptions): void {
    const take = (written: readonly string[]): void => {
      const lines = written.map((line) => redact(line, secrets));
      this.#lastLines.push(...lines);
      this.#lastLines.splice(0, this.#lastLines.length - LAST_LINES);
      onLines(stream, lines);
    };
    const splitter = new LineSplitter();
    this.#child[stream]?.on("data", (chunk: Buffer) => take(splitter.push(chunk)));
    this.#child[stream]?.once("end", () => take(splitter.end()));
  }
}

/** Cuts a stream of bytes into lines. A line that grows too long is cut, so that memory is bounded. */
class LineSplitter {
  readonly #decoder = new StringDecoder("utf8");
  #rest = "";

  push(chunk: Buffer): string[] {
    const lines = (this.#rest + this.#decoder.write(chunk)).split(/\r?\n/);
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > MAX_LINE_LENGTH) {
      lines.push(this.#rest);
      this.#rest = "";
    }
    return lines;
  }

  end(): string[] {
    const rest = this.#rest + this.#decoder.end();
    this.#rest = "";
    return rest === "" ? [] : [rest];
  }
}

function exitError(code: number | null, signal: NodeJS.Signals | null): ErrorSummary {
  return summarizeError(
    new MillraceError({
      class: "pipeline",
      code: "WORKER_EXITED",
      message: `The service's process ended ${signal === null ? `with exit code ${code}` : `by signal ${signal}`}.`,
      action: "Read its last log lines; they say what went wrong.",
      details: { exitCode: code, signal },
    }),
  );
}

function startTimeout(seconds: number): ErrorSummary {
  return summarizeError(
    new MillraceError({
      class: "timeout",
      code: "WORKER_START_TIMEOUT",
      message: `The service was not ready after ${seconds} seconds and was ended.`,
      action: "See why `onInit` takes so long, or raise `startTimeoutSeconds`.",
    }),
  );
}

function silent(seconds: number): ErrorSummary {
  return summarizeError(
    new MillraceError({
      class: "pipeline",
      code: "WORKER_SILENT",
      message: `The service's process has not answered its supervisor for ${seconds} seconds and was ended.`,
      action:
        "Look for code that never gives up the thread (an endless loop), or raise `silenceTimeoutSeconds`.",
    }),
  );
}

export function notStarted(cause: unknown): MillraceError {
  return new MillraceError({
    class: "platform",
    code: "WORKER_NOT_STARTED",
    message: `The service's process could not be started: ${messageOf(cause)}.`,
    action: "See whether the snapshot's folder exists and the machine has room for a process.",
    cause,
  });
}
