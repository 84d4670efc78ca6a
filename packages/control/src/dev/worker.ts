import { type ChildProcess, fork, type SendHandle } from "node:child_process";
import type { Socket } from "node:net";
import { createInterface } from "node:readline";
import { type ErrorSummary, errorFromSummary, type LogLine, MillraceError } from "@millrace/core";
import { z } from "zod";
import { atExit } from "../at-exit.ts";

const DRAIN_SECONDS = 10;
/** On top of that, which the worker keeps by itself. */
const DRAIN_GRACE_MS = 5_000;

/** What serving's worker says; see its README. */
const messageSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("ready") }),
  z.object({ type: z.literal("drained") }),
  z.object({
    type: z.literal("failed"),
    error: z.custom<ErrorSummary>((value) => typeof value === "object" && value !== null),
  }),
]);

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** The process that serves one version. */
export class Worker {
  /** Resolves once the process is gone; never rejects. */
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;
  #isDraining = false;

  constructor(
    runtime: string,
    directory: string,
    environment: NodeJS.ProcessEnv,
    onLine: (line: LogLine) => void,
  ) {
    const child = fork(runtime, ["serve", directory], {
      cwd: directory,
      env: environment,
      execArgv: [],
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    this.#child = child;
    for (const stream of ["stdout", "stderr"] as const) {
      const input = child[stream];
      if (input === null) continue;
      createInterface({ input }).on("line", (text) =>
        onLine({ time: null, replica: null, stream, text }),
      );
    }
    this.ended = new Promise((resolve) => {
      child.once("exit", (code, signal) => resolve({ code, signal }));
      child.once("error", () => resolve({ code: null, signal: null }));
    });
    const forget = atExit(() => this.kill());
    void this.ended.then(forget);
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Resolves when the worker is ready; rejects with what kept it from starting. */
  async listen(socket: SendHandle, signal: AbortSignal): Promise<void> {
    const abort = (): void => this.kill();
    signal.addEventListener("abort", abort);
    const ready = new Promise<void>((resolve, reject) => {
      this.#child.on("message", (message: unknown) => {
        const known = messageSchema.safeParse(message);
        if (known.data?.type === "ready") resolve();
        if (known.data?.type === "failed") reject(errorFromSummary(known.data.error));
      });
      void this.ended.then((how) => reject(signal.aborted ? signal.reason : endedError(how)));
    });
    try {
      this.#child.send({ type: "listen" }, socket);
      await ready;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  take(connection: Socket): void {
    this.#child.send({ type: "connection" }, connection, (error) => {
      if (error !== null) connection.destroy();
    });
  }

  /**
   * Ends the process once it has answered what is in flight, or at the deadline, when its code does not give up the thread. With a
   * successor no connection is cut, also no idle one.
   */
  async drain({ successor }: { readonly successor: boolean }): Promise<void> {
    this.#isDraining = true;
    const message = { type: "drain", seconds: DRAIN_SECONDS, successor };
    if (this.#child.connected) this.#child.send(message);
    const timer = setTimeout(() => this.kill(), DRAIN_SECONDS * 1000 + DRAIN_GRACE_MS);
    await this.ended;
    clearTimeout(timer);
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

export function endedError({ code, signal }: Ended): MillraceError {
  return new MillraceError({
    class: "pipeline",
    code: "SERVICE_ENDED",
    message: `The service ended by itself with ${signal === null ? `exit code ${code}` : signal}.`,
    action: "Read its last lines above. It starts again at the next change of a source file.",
  });
}
