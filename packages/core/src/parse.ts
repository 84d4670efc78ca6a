import { z } from "zod";
import { type ErrorClass, type Issue, MillraceError } from "./errors.ts";
import type { JsonSchema } from "./json.ts";
import { suggest } from "./suggestion.ts";

export interface ParseContext {
  /** Names the input in the message: `Settings of deployer "prod"`. */
  readonly what: string;
  readonly code: string;
  readonly class?: ErrorClass;
  readonly action?: string;
}

/**
 * Parses a value and turns what zod finds into one error: every issue with its path, and for an unknown key the key
 * that was likely meant.
 * @throws MillraceError with the code of the context.
 */
export function parse<T>(schema: z.ZodType<T>, value: unknown, context: ParseContext): T {
  const result = schema.safeParse(value, { reportInput: false });
  if (result.success) return result.data;
  const issues = issuesOf(result.error, schema);
  throw new MillraceError({
    class: context.class ?? "usage",
    code: context.code,
    message: sentence(`${context.what} cannot be used: ${issues.map(formatIssue).join("; ")}`),
    action: context.action ?? "Correct what is named and try again.",
    issues,
  });
}

/** Ends a text with a full stop, unless it ends as a sentence already: what user code or zod says ends as it likes. */
export function sentence(text: string): string {
  return /[.?!]$/.test(text) ? text : `${text}.`;
}

/** Issues that are told; an input may have so many that telling all would take longer than reading it. */
export const MAX_ISSUES = 100;

/** zod's issues in our form, one per unknown key. Beyond `MAX_ISSUES` the last one says how many there are besides. */
export function issuesOf(error: z.ZodError, schema?: z.ZodType): Issue[] {
  const issues: Issue[] = [];
  let count = 0;
  for (const issue of error.issues) {
    const path = issue.path.map((part) => (typeof part === "symbol" ? String(part) : part));
    const keys = issue.code === "unrecognized_keys" ? issue.keys : undefined;
    count += keys?.length ?? 1;
    const room = MAX_ISSUES - issues.length;
    if (room === 0) continue;
    if (keys === undefined) issues.push({ path, message: wordsOf(issue) });
    else issues.push(...unknownKeys(keys.slice(0, room), path, schema));
  }
  const left = count - issues.length;
  return left === 0 ? issues : [...issues, { path: [], message: `and ${left} more` }];
}

/** What is wrong with a value by a JSON Schema, one issue per path; nothing where zod cannot read the schema. */
export function issuesByJsonSchema(schema: JsonSchema, value: unknown): Issue[] {
  let read: z.ZodType;
  try {
    read = z.fromJSONSchema(schema);
  } catch {
    return [];
  }
  const result = read.safeParse(value, { reportInput: false });
  const issues = result.success ? [] : issuesOf(result.error);
  // A format is checked by its name and by its pattern.
  const firsts = new Map(issues.toReversed().map((issue) => [formatPath(issue.path), issue]));
  return [...firsts.values()].toReversed();
}

/** How zod begins what it says of itself; a schema's own words stay as they are. */
const ZOD_WORDS = /^(Too small|Too big|Invalid option|Invalid input): /;

/** What zod counts in a value that is not a number. */
const UNITS: Readonly<Record<string, string>> = {
  string: "character",
  array: "item",
  set: "item",
  map: "member",
  record: "key",
  file: "byte",
};

/** zod's bounds, choices and types in words. */
function wordsOf(issue: z.core.$ZodIssue): string {
  const { message } = issue;
  if (!ZOD_WORDS.test(message)) return message;
  if (issue.code === "too_small") {
    const how = issue.inclusive === false ? "more than" : "at least";
    return bound(issue.origin, issue.exact ? "exactly" : how, issue.minimum);
  }
  if (issue.code === "too_big") {
    const how = issue.inclusive === false ? "less than" : "at most";
    return bound(issue.origin, issue.exact ? "exactly" : how, issue.maximum);
  }
  if (issue.code === "invalid_value") {
    const values = issue.values.map((value) =>
      typeof value === "string" ? JSON.stringify(value) : String(value),
    );
    return `must be ${values.length === 1 ? "" : "one of "}${values.join(", ")}`;
  }
  return message
    .replace(ZOD_WORDS, "")
    .replace(/^expected (.+), received undefined$/, "is missing ($1)");
}

function bound(origin: string, how: string, limit: number | bigint): string {
  const unit = UNITS[origin];
  if (origin === "date") return `must be ${how} ${new Date(Number(limit)).toISOString()}`;
  return unit === undefined
    ? `must be ${how} ${limit}`
    : `must have ${how} ${limit} ${unit}${Number(limit) === 1 ? "" : "s"}`;
}

function unknownKeys(
  keys: readonly string[],
  path: readonly (string | number)[],
  schema: z.ZodType | undefined,
): Issue[] {
  const known = schema === undefined ? [] : keysAt(schema, path);
  return keys.map((key) => {
    const meant = suggest(key, known);
    const hint =
      meant === undefined
        ? known.length === 0
          ? ""
          : `; known are ${known.join(", ")}`
        : `; did you mean "${meant}"?`;
    return { path: [...path, key], message: `unknown key${hint}` };
  });
}

export function formatIssue(issue: Issue): string {
  return issue.path.length === 0 ? issue.message : `${formatPath(issue.path)}: ${issue.message}`;
}

/** `a.b[0].c` */
export function formatPath(path: readonly (string | number)[]): string {
  return path
    .map((part, i) => (typeof part === "number" ? `[${part}]` : i === 0 ? part : `.${part}`))
    .join("");
}

/** The keys that an object schema knows at a path, seen through optional, default and the like. */
function keysAt(schema: z.ZodType, path: readonly (string | number)[]): string[] {
  let current = unwrap(schema);
  for (const part of path) {
    if (current instanceof z.ZodObject) current = unwrap(current.shape[String(part)]);
    else if (current instanceof z.ZodRecord) current = unwrap(current.valueType);
    else if (current instanceof z.ZodArray) current = unwrap(current.element);
    else return [];
  }
  return current instanceof z.ZodObject ? Object.keys(current.shape) : [];
}

function unwrap(schema: unknown): unknown {
  let current = schema;
  while (
    current instanceof z.ZodOptional ||
    current instanceof z.ZodNullable ||
    current instanceof z.ZodDefault ||
    current instanceof z.ZodPrefault ||
    current instanceof z.ZodReadonly
  ) {
    current = current.unwrap();
  }
  return current;
}
