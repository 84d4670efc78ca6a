import {
  isJsonObject,
  type JsonObject,
  type JsonValue,
  MillraceError,
  suggest,
} from "@millrace/core";
import type { Input, Raw } from "./command.ts";
import { parseDuration } from "./time.ts";

function input<T>(
  kind: Input["kind"],
  flags: string,
  description: string,
  read: (raw: Raw) => T,
  more: Partial<Input> = {},
): Input<T> {
  return { kind, flags, description, repeatable: false, choices: [], ...more, read };
}

function textOf(raw: Raw): string | undefined {
  return typeof raw === "string" ? raw : undefined;
}

function listOf(raw: Raw): readonly string[] {
  return typeof raw === "object" ? raw : [];
}

/** A required argument; `<name>`. */
export function argument(flags: `<${string}>`, description: string): Input<string> {
  return input("argument", flags, description, (raw) => textOf(raw) ?? "");
}

/** An argument that may be missing; `[name]`. */
export function optionalArgument(
  flags: `[${string}]`,
  description: string,
): Input<string | undefined> {
  return input("argument", flags, description, textOf);
}

/** Any number of arguments; `[names...]`, or `<names...>` for at least one. */
export function argumentList(
  flags: `[${string}...]` | `<${string}...>`,
  description: string,
): Input<readonly string[]> {
  return input("argument", flags, description, listOf);
}

/** Everything that is no known option, as written: the parameters of a pipeline. */
export function rest(description: string): Input<readonly string[]> {
  return input("rest", "[parameters...]", description, listOf);
}

export function text(flags: string, description: string): Input<string | undefined> {
  return input("option", flags, description, textOf);
}

export function requiredText(flags: string, description: string): Input<string> {
  const name = longName(flags);
  return input("option", flags, description, (raw) => {
    const value = textOf(raw);
    if (value !== undefined && value !== "") return value;
    throw usage("OPTION_MISSING", `The option ${name} is required.`, `Add ${flags}.`);
  });
}

/** On when given. With `--no-x` flags: on unless given. */
export function flag(flags: string, description: string): Input<boolean> {
  const negated = flags.includes("--no-");
  return input("option", flags, description, (raw) => (negated ? raw !== false : raw === true));
}

export function choice<const T extends string>(
  flags: string,
  choices: readonly T[],
  description: string,
): Input<T | undefined> {
  const read = (raw: Raw): T | undefined => {
    const word = textOf(raw);
    if (word === undefined) return undefined;
    const chosen = choices.find((candidate) => candidate.toLowerCase() === word.toLowerCase());
    if (chosen !== undefined) return chosen;
    const meant = suggest(word, choices);
    throw usage(
      "OPTION_INVALID",
      `${longName(flags)} cannot be ${JSON.stringify(word)}.`,
      `${meant === undefined ? "" : `Did you mean "${meant}"? `}Use one of ${choices.join(", ")}.`,
    );
  };
  return input("option", flags, description, read, { choices });
}

/** A positive number, or an integer from `min` on. */
export function number(
  flags: string,
  description: string,
  limits: { readonly integer: boolean; readonly min: number; readonly max?: number },
): Input<number | undefined> {
  return input("option", flags, description, (raw) => {
    const word = textOf(raw);
    if (word === undefined) return undefined;
    const value = word.trim() === "" ? Number.NaN : Number(word);
    const max = limits.max ?? Number.MAX_SAFE_INTEGER;
    if (
      Number.isFinite(value) &&
      value >= limits.min &&
      value <= max &&
      (!limits.integer || Number.isInteger(value))
    )
      return value;
    const kind = limits.integer ? "a whole number" : "a number";
    const range =
      limits.max === undefined ? `from ${limits.min} on` : `from ${limits.min} to ${limits.max}`;
    throw usage(
      "OPTION_INVALID",
      `${longName(flags)} cannot be ${JSON.stringify(word)}.`,
      `Use ${kind} ${range}.`,
    );
  });
}

/** A length of time in seconds: `90`, `90s`, `10m`, `1h`. */
export function seconds(flags: string, description: string): Input<number | undefined> {
  return input("option", flags, description, (raw) => {
    const word = textOf(raw);
    if (word === undefined) return undefined;
    const milliseconds = parseDuration(word);
    if (milliseconds !== undefined && milliseconds > 0) return milliseconds / 1000;
    throw usage(
      "OPTION_INVALID",
      `${longName(flags)} cannot be ${JSON.stringify(word)}.`,
      "Use seconds, or a time such as 90s, 10m or 1h.",
    );
  });
}

/** A moment: a time ago (`10m`, `2h`, `1d`) or an ISO 8601 date and time. */
export function moment(flags: string, description: string): Input<Date | undefined> {
  return input("option", flags, description, (raw) => {
    const word = textOf(raw);
    if (word === undefined) return undefined;
    const ago = /[a-z]$/.test(word) ? parseDuration(word) : undefined;
    const date = ago === undefined ? new Date(word) : new Date(Date.now() - ago);
    if (!Number.isNaN(date.getTime()) && (ago !== undefined || /^\d{4}-\d{2}-\d{2}/.test(word)))
      return date;
    throw usage(
      "OPTION_INVALID",
      `${longName(flags)} cannot be ${JSON.stringify(word)}.`,
      "Use a time ago such as 10m, 2h or 1d, or a date and time such as 2026-03-01T12:00:00Z.",
    );
  });
}

/** Repeated `key=value`, as text: environment variables. Undefined when not given. */
export function variables(
  flags: string,
  description: string,
): Input<Readonly<Record<string, string>> | undefined> {
  const read = (raw: Raw): Readonly<Record<string, string>> | undefined => {
    const pairs = listOf(raw).map((pair) => split(pair, longName(flags)));
    return pairs.length === 0 ? undefined : Object.fromEntries(pairs);
  };
  return input("option", flags, description, read, { repeatable: true });
}

/** Repeated `key=value` as one object: dots in the key nest, a value is read as JSON and else taken as text. */
export function assignments(flags: string, description: string): Input<JsonObject | undefined> {
  const read = (raw: Raw): JsonObject | undefined => {
    const pairs = listOf(raw).map((pair) => split(pair, longName(flags)));
    return pairs.length === 0
      ? undefined
      : pairs.reduce<JsonObject>(
          (object, [key, value]) => assign(object, key.split("."), jsonOrText(value)),
          {},
        );
  };
  return input("option", flags, description, read, { repeatable: true });
}

/** Repeated `key=value`, kept in pairs. */
export function pairs(
  flags: string,
  description: string,
): Input<readonly (readonly [string, string])[]> {
  return input(
    "option",
    flags,
    description,
    (raw) => listOf(raw).map((pair) => split(pair, longName(flags))),
    { repeatable: true },
  );
}

function split(pair: string, option: string): readonly [string, string] {
  const at = pair.indexOf("=");
  if (at > 0) return [pair.slice(0, at), pair.slice(at + 1)];
  throw usage(
    "OPTION_INVALID",
    `${option} cannot be ${JSON.stringify(pair)}.`,
    `Write ${option} key=value.`,
  );
}

/** JSON where the text is JSON, else the text itself. */
export function jsonOrText(word: string): JsonValue {
  try {
    const value: JsonValue = JSON.parse(word);
    return value;
  } catch {
    return word;
  }
}

/** A copy with the value at the path; objects on the way are made. */
export function assign(object: JsonObject, path: readonly string[], value: JsonValue): JsonObject {
  const [key, ...below] = path;
  if (key === undefined) return object;
  const inner = Object.hasOwn(object, key) ? object[key] : undefined;
  const member =
    below.length === 0 ? value : assign(isJsonObject(inner) ? inner : {}, below, value);
  // Built from entries so that a key named __proto__ is a key like any other.
  return Object.fromEntries([
    ...Object.entries(object).filter(([name]) => name !== key),
    [key, member],
  ]);
}

function longName(flags: string): string {
  return /--[a-z-]+/.exec(flags)?.[0] ?? flags;
}

/** An error of the command line. */
export function usage(code: string, message: string, action: string): MillraceError {
  return new MillraceError({ class: "usage", code, message, action });
}
