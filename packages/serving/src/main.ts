import { parseArgs } from "node:util";
import {
  ERROR_CLASSES,
  isMillraceError,
  MillraceError,
  messageOf,
  redact,
  toMillraceError,
} from "@millrace/core";
import { runBatch } from "./batch.ts";
import { givenSecrets } from "./environment.ts";
import { serve } from "./serve.ts";
import { originalStack } from "./source-map.ts";

const USAGE =
  "Usage: runtime.js serve DIRECTORY | runtime.js run DIRECTORY [--name NAME] [--timeout SECONDS]";

async function main(args: readonly string[]): Promise<number> {
  const { positionals, values } = readArguments(args);
  const [command, directory, ...rest] = positionals;
  if (directory !== undefined && rest.length === 0) {
    if (command === "serve") return serve(directory, process.env);
    if (command === "run") {
      return runBatch(directory, process.env, {
        name: values.name,
        timeoutMs: values.timeout === undefined ? undefined : milliseconds(values.timeout),
      });
    }
  }
  throw wrongArguments("A command and a snapshot's folder are wanted.");
}

function readArguments(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { name: { type: "string" }, timeout: { type: "string" } },
    });
  } catch (cause) {
    throw wrongArguments(messageOf(cause));
  }
}

function milliseconds(seconds: string): number {
  const value = Number(seconds);
  if (value > 0) return value * 1000;
  throw wrongArguments("--timeout is a number of seconds, more than 0.");
}

function wrongArguments(message: string): MillraceError {
  return new MillraceError({ class: "usage", code: "ARGUMENTS_INVALID", message, action: USAGE });
}

/** What went wrong, what to do, and where in the user's code, for a person who reads stderr. */
function report(thrown: unknown): string {
  const error = toMillraceError(thrown);
  const { cause } = error;
  const stack =
    cause instanceof Error && !isMillraceError(cause)
      ? `\n${originalStack(cause.stack ?? "")}`
      : "";
  return `millrace: ${error.code}: ${error.message}${error.action === undefined ? "" : `\n  ${error.action}`}${stack}\n`;
}

try {
  // User code may hold the event loop with timers and pools; what had to be written is written by now.
  process.exit(await main(process.argv.slice(2)));
} catch (error) {
  const exit = () => process.exit(ERROR_CLASSES[toMillraceError(error).class].exitCode);
  process.stderr.write(redact(report(error), givenSecrets()), exit);
  // Where nobody reads it.
  setTimeout(exit, 1000);
}
