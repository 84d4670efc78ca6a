/**
 * The process that evaluates a bundle: `node compiler.js FILE`, with an IPC channel for the answer. User code runs here,
 * so that it can neither harm nor outlive the command.
 */
import { pathToFileURL } from "node:url";
import { isPipeline, MillraceError, messageOf, summarizeError } from "@millrace/core";
import type { CompilerAnswer } from "./compile.ts";

async function answer(file: string): Promise<CompilerAnswer> {
  let module: { readonly default?: unknown };
  try {
    module = await import(pathToFileURL(file).href);
  } catch (cause) {
    throw new MillraceError({
      class: "pipeline",
      code: "PIPELINE_THROWS",
      message: `The module fails when it is loaded: ${messageOf(cause)}`,
      action: "Correct what it does at its top level.",
      details: { stack: cause instanceof Error ? cause.stack : undefined },
      cause,
    });
  }
  const pipeline = module.default;
  if (!isPipeline(pipeline)) {
    throw new MillraceError({
      class: "pipeline",
      code: "PIPELINE_MISSING",
      message: "The module does not export a pipeline under that name.",
      action: "Export what definePipeline returns, as the default or under the name behind #.",
    });
  }
  const { name, description, graph, inputSchema, outputSchema, secrets, settings } =
    pipeline.compile();
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

const [file = ""] = process.argv.slice(2);
const message = await answer(file).catch(
  (error: unknown): CompilerAnswer => ({ error: summarizeError(error) }),
);
process.send?.(message, () => process.exit(0));
