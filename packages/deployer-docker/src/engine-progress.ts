import { stripVTControlCharacters } from "node:util";
import { MillraceError } from "@millrace/core";
import { z } from "zod";
import { engineFault } from "./engine-errors.ts";

/** Lines of a build that an error shows. */
const LAST_LINES = 20;

/** What a build says of its own containers. */
const ABOUT_ITSELF = /^ ---> |^Removing intermediate container/;

const entrySchema = z.looseObject({
  /** Output of a build. */
  stream: z.string().optional(),
  error: z.string().optional(),
  errorDetail: z.looseObject({ code: z.int().optional() }).optional(),
});

/**
 * Reads to the end what the engine tells of a long call as JSON lines. It answers 200 before it begins: what goes wrong
 * stands in a line.
 * @param what What was asked for, such as "load the image x".
 * @returns The last lines that it said.
 * @throws MillraceError BUILD_FAILED for a command of a Dockerfile that fails, else as of engine-errors.ts
 */
export async function readProgress(
  answer: AsyncIterable<string | Uint8Array>,
  what: string,
): Promise<readonly string[]> {
  const logs: string[] = [];
  for await (const text of linesOf(answer)) {
    if (text.trim() === "") continue;
    const { stream = "", error, errorDetail } = entrySchema.parse(JSON.parse(text));
    if (error !== undefined)
      throw errorDetail?.code === undefined
        ? engineFault(error, what)
        : buildError(error, what, logs);
    const lines = stripVTControlCharacters(stream).split("\n");
    logs.push(...lines.filter((line) => line.trim() !== "" && !ABOUT_ITSELF.test(line)));
    logs.splice(0, logs.length - LAST_LINES);
  }
  return logs;
}

function buildError(error: string, what: string, logs: readonly string[]): MillraceError {
  return new MillraceError({
    class: "platform",
    code: "BUILD_FAILED",
    message: `The Docker engine cannot ${what}: ${error.replace(/\.$/, "")}. Its last line: ${logs.at(-1) ?? "none"}`,
    action: "Correct the command of the Dockerfile.",
    details: { logs: [...logs] },
  });
}

async function* linesOf(chunks: AsyncIterable<string | Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunks) {
    const text = typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true });
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  yield rest;
}
