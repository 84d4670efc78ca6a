/**
 * The process that evaluates a bundle: `node compiler.js FILE EXPORT`, with an IPC channel for the answer. User code runs here,
 * so that it can neither harm nor outlive the command.
 */
import { existsSync, readFileSync } from "node:fs";
import { SourceMap } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import {
  type CompiledPipeline,
  isMillraceError,
  isPipeline,
  MillraceError,
  messageOf,
  type Pipeline,
  summarizeError,
} from "@millrace/core";
import type { CompilerAnswer } from "./compile.ts";

async function answer(file: string, exported: string): Promise<CompilerAnswer> {
  const { default: pipeline } = await load(file);
  if (!isPipeline(pipeline)) {
    throw new MillraceError({
      class: "pipeline",
      code: "PIPELINE_MISSING",
      message:
        exported === "default"
          ? "The module has no default export that is a pipeline."
          : `The module has no export "${exported}" that is a pipeline.`,
      action:
        exported === "default"
          ? "Export what definePipeline returns as the default, or name its export behind #: pipeline.ts#name."
          : "Export what definePipeline returns under that name, or leave the name out to take the default export.",
    });
  }
  const { name, description, graph, inputSchema, outputSchema, secrets, settings } = build(
    pipeline,
    file,
  );
  return {
    compiled: {
      name,
      description: description ?? null,
      graph,
      inputSchema,
      outputSchema,
      secrets: [...secrets],
      settings,
    },
  };
}

async function load(file: string): Promise<{ readonly default?: unknown }> {
  try {
    const module: { readonly default?: unknown } = await import(pathToFileURL(file).href);
    // A promise is no pipeline, but why it is rejected says more.
    await module.default;
    return module;
  } catch (cause) {
    throw loadingFails(file, cause);
  }
}

function loadingFails(file: string, cause: unknown): MillraceError {
  if (isMillraceError(cause)) return cause;
  const noFile = cause instanceof Error && "code" in cause && cause.code === "ENOENT";
  return userError("PIPELINE_THROWS", "The module fails when it is loaded", file, cause, [
    "Correct what it does at its top level.",
    ...(noFile
      ? ['Files beside a module are found by new URL("./file.csv", import.meta.url).']
      : []),
  ]);
}

function build(pipeline: Pipeline, file: string): CompiledPipeline {
  try {
    return pipeline.compile();
  } catch (cause) {
    if (isMillraceError(cause)) throw cause;
    throw userError(
      "PIPELINE_BUILD_FAILED",
      `build of pipeline "${pipeline.name}" fails`,
      file,
      cause,
      ["build runs on references and not on values: leave work to steps."],
    );
  }
}

/** What the user's own code threw, with the place in the user's own source. */
function userError(
  code: string,
  what: string,
  file: string,
  cause: unknown,
  actions: readonly string[],
): MillraceError {
  const stack =
    cause instanceof Error ? originalStack(cause.stack ?? "", dirname(file)) : undefined;
  const place = /^\s+at (?:.*\()?((?!node:|file:|\/)[^()\s]+:\d+:\d+)\)?$/m.exec(stack ?? "")?.[1];
  return new MillraceError({
    class: "pipeline",
    code,
    message: `${what}${place === undefined ? "" : ` (${place})`}: ${messageOf(cause)}`,
    action: actions.join(" "),
    details: stack === undefined ? {} : { stack },
    cause,
  });
}

const STACK_PLACE = /(?:file:\/\/)?(\/[^\n:]+?):(\d+):(\d+)/g;

/**
 * A stack in terms of the sources. Not by Node's --enable-source-maps, which would read the maps at every start and take as
 * long as the rest.
 */
function originalStack(stack: string, folder: string): string {
  const maps = new Map<string, SourceMap>();
  return stack.replaceAll(STACK_PLACE, (all, path: string, line: string, column: string) => {
    const place = all.startsWith("file:") ? fileURLToPath(`file://${path}`) : path;
    const name = relative(folder, place);
    if (name.startsWith("..")) return all;
    const file = join(folder, `${name}.map`);
    if (!existsSync(file)) return `${name}:${line}:${column}`;
    const map = maps.get(file) ?? new SourceMap(JSON.parse(readFileSync(file, "utf8")));
    maps.set(file, map);
    const origin = map.findOrigin(Number(line), Number(column));
    return "fileName" in origin
      ? `${origin.fileName}:${origin.lineNumber}:${origin.columnNumber}`
      : `${name}:${line}:${column}`;
  });
}

// The command was killed: nobody waits for the answer.
process.once("disconnect", () => process.exit(1));
process.channel?.unref();
const [file = "", exported = "default"] = process.argv.slice(2);
const send = (message: CompilerAnswer): void => void process.send?.(message, () => process.exit(0));
// What fails in a timer, or in a promise that nobody awaits, ends the process while the module may still be waiting.
process.once("uncaughtException", (cause) =>
  send({ error: summarizeError(loadingFails(file, cause)) }),
);
send(
  await answer(file, exported).catch(
    (error: unknown): CompilerAnswer => ({ error: summarizeError(error) }),
  ),
);
