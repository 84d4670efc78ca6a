import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import {
  type CompiledPipeline,
  type ErrorSummary,
  errorFromSummary,
  MillraceError,
} from "@millrace/core";

/** A user's top-level code that takes longer than this does not end by itself. */
const DEADLINE_SECONDS = 60;
/** Node's exit code for a module whose top-level await never ends. */
const UNSETTLED = 13;
/** Set in the process that evaluates a pipeline's module: there, no client may be opened. */
export const COMPILING_VARIABLE = "MILLRACE_COMPILING";
const COMPILER = fileURLToPath(new URL("./compiler.js", import.meta.url));

/** What a snapshot records of a pipeline: plain data. */
export type CompiledDescription = Pick<
  CompiledPipeline,
  "name" | "graph" | "inputSchema" | "outputSchema" | "settings"
> & {
  readonly description: string | null;
  readonly secrets: string[];
};

export interface CompileOptions {
  readonly signal?: AbortSignal | undefined;
  /** How long the module and `build` may take together. Default 60, which is also the most. */
  readonly loadSeconds?: number | undefined;
}

export type CompilerAnswer =
  | { readonly compiled: CompiledDescription }
  | { readonly error: ErrorSummary };

/**
 * Evaluates a bundle in a process of its own and compiles its pipeline.
 * @throws MillraceError of class `pipeline`: what the user's code did wrong.
 */
export async function compileBundle(
  file: string,
  source: { readonly shown: string; readonly export: string },
  { signal, loadSeconds = DEADLINE_SECONDS }: CompileOptions = {},
): Promise<CompiledDescription> {
  signal?.throwIfAborted();
  const limit = Math.min(loadSeconds, DEADLINE_SECONDS);
  const child = fork(COMPILER, [file, source.export], {
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    execArgv: [],
    env: { ...process.env, [COMPILING_VARIABLE]: "1" },
  });
  const stop = (): void => void child.kill("SIGKILL");
  signal?.addEventListener("abort", stop);
  const stderr: string[] = [];
  child.stderr?.setEncoding("utf8").on("data", (text: string) => stderr.push(text));
  const timer = setTimeout(stop, limit * 1000);
  try {
    const message = await new Promise<CompilerAnswer>((resolve, reject) => {
      // The compiler is ours: what it sends has this form.
      child.once("message", (answer) => resolve(answer as CompilerAnswer));
      child.once("error", reject);
      child.once("exit", (code, signal) =>
        reject(ended(source.shown, limit, code, signal, stderr.join(""))),
      );
    });
    if ("compiled" in message) return message.compiled;
    const error = errorFromSummary(message.error);
    throw new MillraceError({
      ...error,
      message: `${source.shown}: ${error.message}`,
      cause: error,
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
    child.removeAllListeners("exit");
    stop();
  }
}

function ended(
  source: string,
  limit: number,
  code: number | null,
  signal: string | null,
  stderr: string,
): MillraceError {
  const wasTooLong = signal === "SIGKILL";
  const how = wasTooLong
    ? `and building its pipeline did not come to an end within ${limit} s`
    : code === UNSETTLED
      ? "waits at its top level for something that never comes"
      : `ended the process (${signal ?? `exit code ${code}`})`;
  return new MillraceError({
    class: "pipeline",
    code: "PIPELINE_ENDED",
    message: `${source}: loading the module ${how}.`,
    action: `${wasTooLong ? "Look for an endless loop, also in build, and for an await that takes long. " : ""}A pipeline's module must only define things; start servers and connections in onInit.`,
    details: { stderr: stderr.slice(-4000) },
  });
}
