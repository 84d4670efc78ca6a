import {
  formatIssue,
  type Issue,
  isJsonObject,
  issuesByJsonSchema,
  type JsonObject,
  type JsonSchema,
  type JsonValue,
  MillraceError,
  sentence,
  suggest,
} from "@millrace/core";
import { assign, jsonOrText } from "./inputs.ts";
import {
  allowedValues,
  alternatives,
  describeType,
  properties,
  resolve,
  typesOf,
} from "./schema.ts";

/** What the command line says about the parameters of one invocation. */
export interface ParameterSources {
  /** `--city Lisbon --flags.x true …`, as written. */
  readonly words: readonly string[];
  /** From `--param key=value`. */
  readonly pairs: readonly (readonly [string, string])[];
  /** From `--parameters`, already read. */
  readonly base: JsonObject;
}

interface Assignment {
  readonly path: readonly string[];
  /** `true` and `false` stand for `--x` and `--no-x`. */
  readonly values: readonly (string | boolean)[];
}

/**
 * The parameters of an invocation, typed by the pipeline's input schema. What they mean (ranges, formats, refinements) the
 * service judges; where they do not get that far, what the schema says of it is told as well.
 * @throws MillraceError `PARAMETERS_INVALID` with every fault and its path.
 */
export function readParameters(sources: ParameterSources, schema: JsonSchema): JsonObject {
  const issues: Issue[] = [];
  const assignments = group([
    ...assignmentsOfWords(sources.words, schema, issues),
    ...sources.pairs.map(([key, value]) => ({ path: key.split("."), values: [value] })),
  ]);
  let parameters = sources.base;
  for (const { path, values } of assignments) {
    const target = schemaAt(schema, path);
    if ("fault" in target) {
      issues.push({ path, message: target.fault });
      continue;
    }
    const read = readValues(values, target.schema, schema);
    if (read === undefined)
      issues.push({
        path,
        message: `expected ${describeType(target.schema, schema)}, got ${values.map((value) => JSON.stringify(value)).join(", ")}`,
      });
    else parameters = assign(parameters, path, read);
  }
  const faulty = new Set(issues.map(({ path }) => path.join(".")));
  issues.push(
    ...missing(parameters, schema, schema, []).filter(({ path }) => !faulty.has(path.join("."))),
  );
  if (issues.length === 0) return parameters;
  const told = issues.map(({ path }) => path);
  issues.push(
    ...issuesByJsonSchema(schema, parameters).filter(
      ({ path }) => !told.some((one) => path.every((part, at) => part === one[at])),
    ),
  );
  throw new MillraceError({
    class: "usage",
    code: "PARAMETERS_INVALID",
    message: sentence(`The parameters are not valid: ${issues.map(formatIssue).join("; ")}`),
    action: describeParameters(schema),
    issues,
  });
}

/** `Parameters: --city string, --month integer 1..12 (optional).` */
function describeParameters(schema: JsonSchema): string {
  const known = properties(schema, schema).map(
    (property) =>
      `--${property.name} ${describeType(property.schema, schema)}${property.required ? "" : " (optional)"}`,
  );
  return known.length === 0
    ? "The pipeline takes no parameters."
    : `Parameters: ${known.join(", ")}.`;
}

function assignmentsOfWords(
  words: readonly string[],
  schema: JsonSchema,
  issues: Issue[],
): Assignment[] {
  const found: Assignment[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? "";
    if (word === "--") continue;
    const match = /^--([^=]+)(?:=([\s\S]*))?$/.exec(word);
    if (match?.[1] === undefined) {
      issues.push({
        path: [],
        message: `${JSON.stringify(word)} belongs to no parameter; write --name value`,
      });
      continue;
    }
    const name = match[1];
    if (match[2] !== undefined) {
      found.push({ path: name.split("."), values: [match[2]] });
      continue;
    }
    const negated = negation(name, schema);
    if (negated !== undefined) {
      found.push({ path: negated, values: [false] });
      continue;
    }
    const path = name.split(".");
    const next = words[i + 1];
    if (isFlag(schemaAt(schema, path)) && next !== "true" && next !== "false") {
      found.push({ path, values: [true] });
    } else if (next === undefined) {
      issues.push({ path, message: "has no value" });
    } else {
      found.push({ path, values: [next] });
      i++;
    }
  }
  return found;
}

/** The parameter that `no-x` turns off; undefined when `no-x` is a name of its own or `x` is no boolean. */
function negation(name: string, schema: JsonSchema): readonly string[] | undefined {
  if (!name.startsWith("no-") || !("fault" in schemaAt(schema, name.split(".")))) return undefined;
  const path = name.slice(3).split(".");
  return isFlag(schemaAt(schema, path)) ? path : undefined;
}

function isFlag(target: Target): boolean {
  return "schema" in target && typesOf(target.schema).join() === "boolean";
}

/** Puts values of the same path together, in the order of the first mention. */
function group(assignments: readonly Assignment[]): Assignment[] {
  const byPath = new Map<string, Assignment>();
  for (const { path, values } of assignments) {
    const key = path.join(".");
    byPath.set(key, { path, values: [...(byPath.get(key)?.values ?? []), ...values] });
  }
  return [...byPath.values()];
}

type Target = { readonly schema: JsonSchema } | { readonly fault: string };

/** The schema of what a dotted name means. */
function schemaAt(document: JsonSchema, path: readonly string[]): Target {
  let current = resolve(document, document);
  for (const name of path) {
    const known = properties(current, document);
    const property = known.find((candidate) => candidate.name === name);
    if (property !== undefined) {
      current = property.schema;
      continue;
    }
    const open = current["additionalProperties"];
    const isClosed =
      open === false ||
      (open === undefined && typesOf(current).length > 0 && !typesOf(current).includes("object"));
    if (isClosed)
      return {
        fault: unknownName(
          name,
          known.map((candidate) => candidate.name),
        ),
      };
    current = resolve(open, document);
  }
  return { schema: current };
}

function unknownName(name: string, known: readonly string[]): string {
  const meant = suggest(name, known);
  if (meant !== undefined) return `unknown parameter; did you mean "${meant}"?`;
  return known.length === 0
    ? "unknown parameter"
    : `unknown parameter; known are ${known.join(", ")}`;
}

/** The value that one or several words stand for; undefined when the schema allows none. The last word of several wins, except for a list. */
function readValues(
  values: readonly (string | boolean)[],
  schema: JsonSchema,
  document: JsonSchema,
): JsonValue | undefined {
  const last = values.at(-1);
  if (last === undefined) return undefined;
  if (!typesOf(schema).includes("array")) return readValue(last, schema, document);
  const only = values.length === 1 && typeof last === "string" ? jsonOrText(last) : undefined;
  if (Array.isArray(only)) return only;
  const items = values.map((value) =>
    readValue(value, resolve(schema["items"], document), document),
  );
  return items.every((item) => item !== undefined) ? items : undefined;
}

function readValue(
  word: string | boolean,
  schema: JsonSchema,
  document: JsonSchema,
): JsonValue | undefined {
  const allowed = allowedValues(schema);
  if (allowed !== undefined)
    return allowed.find((value) => value === word || JSON.stringify(value) === word);
  const options = alternatives(schema);
  if (options.length > 0)
    return readFirst(
      word,
      options.map((option) => resolve(option, document)),
      document,
    );
  const types = typesOf(schema);
  if (types.length > 1)
    return readFirst(
      word,
      types.map((type) => ({ ...schema, type })),
      document,
    );
  return readType(word, types[0]);
}

/** Text accepts every word, so it is tried last. */
function readFirst(
  word: string | boolean,
  schemas: readonly JsonSchema[],
  document: JsonSchema,
): JsonValue | undefined {
  const ordered = schemas.toSorted((a, b) => Number(isText(a)) - Number(isText(b)));
  for (const schema of ordered) {
    const value = readValues([word], schema, document);
    if (value !== undefined) return value;
  }
  return undefined;
}

function isText(schema: JsonSchema): boolean {
  return typesOf(schema).includes("string") && allowedValues(schema) === undefined;
}

function readType(word: string | boolean, type: string | undefined): JsonValue | undefined {
  if (typeof word === "boolean") return type === "boolean" || type === undefined ? word : undefined;
  switch (type) {
    case "string":
      return word;
    case "number":
      return readNumber(word);
    case "integer": {
      const value = readNumber(word);
      return Number.isInteger(value) ? value : undefined;
    }
    case "boolean":
      return word === "true" ? true : word === "false" ? false : undefined;
    case "null":
      return word === "null" ? null : undefined;
    case "object": {
      const value = jsonOrText(word);
      return isJsonObject(value) ? value : undefined;
    }
    default:
      return jsonOrText(word);
  }
}

function readNumber(word: string): number | undefined {
  const value = word.trim() === "" ? Number.NaN : Number(word);
  return Number.isFinite(value) ? value : undefined;
}

/** Required members that are not there, in the objects that are. */
function missing(
  value: JsonObject,
  schema: JsonSchema,
  document: JsonSchema,
  path: readonly string[],
): Issue[] {
  return properties(resolve(schema, document), document).flatMap((property): Issue[] => {
    const member = Object.hasOwn(value, property.name) ? value[property.name] : undefined;
    const here = [...path, property.name];
    if (member === undefined)
      return property.required
        ? [{ path: here, message: `is required (${describeType(property.schema, document)})` }]
        : [];
    return isJsonObject(member) ? missing(member, property.schema, document, here) : [];
  });
}
