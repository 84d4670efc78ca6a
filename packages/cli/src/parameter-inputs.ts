import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import {
  describeJsonFault,
  isJsonObject,
  type JsonObject,
  type JsonSchema,
  type MillraceError,
  messageOf,
} from "@millrace/core";
import type { CommandContext } from "./command.ts";
import { pairs, text, usage } from "./inputs.ts";
import { readParameters } from "./parameters.ts";

/** The options by which the parameters of a pipeline are given beside `--name value`. */
export const parameterInputs = {
  param: pairs("--param <name=value>", "A parameter by name; repeatable."),
  json: text(
    "--parameters <json>",
    "All parameters as a JSON object; @file reads a file, - standard input.",
  ),
} as const;

/** @throws MillraceError `PARAMETERS_INVALID`, or `PARAMETERS_UNREADABLE` when the file cannot be read. */
export async function parametersFor(
  context: CommandContext,
  given: {
    readonly words: readonly string[];
    readonly param: readonly (readonly [string, string])[];
    readonly json?: string;
  },
  schema: JsonSchema,
): Promise<JsonObject> {
  const base = given.json === undefined ? {} : objectOf(await read(context, given.json));
  return readParameters({ words: given.words, pairs: given.param, base }, schema);
}

async function read({ terminal }: CommandContext, given: string): Promise<string> {
  if (given === "-") return terminal.stdin.readAll();
  if (!given.startsWith("@")) return given;
  try {
    return await readFile(resolve(terminal.directory, given.slice(1)), "utf8");
  } catch (error) {
    throw usage(
      "PARAMETERS_UNREADABLE",
      `${given.slice(1)} cannot be read: ${messageOf(error)}.`,
      "Name a file that holds a JSON object.",
    );
  }
}

function objectOf(source: string): JsonObject {
  const value = jsonOf(source);
  if (isJsonObject(value)) return value;
  throw parametersInvalid("is no JSON object.");
}

function jsonOf(source: string): unknown {
  try {
    return JSON.parse(source);
  } catch {
    throw parametersInvalid(`is no JSON: ${describeJsonFault(source)}.`);
  }
}

function parametersInvalid(fault: string): MillraceError {
  return usage(
    "PARAMETERS_INVALID",
    `What --parameters says ${fault}`,
    'Write for example --parameters \'{"city": "Lisbon"}\'.',
  );
}
