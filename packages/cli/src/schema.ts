import { isJsonObject, type JsonObject, type JsonSchema, type JsonValue } from "@millrace/core";

/** One property of an object schema, seen through references. */
export interface Property {
  readonly name: string;
  readonly schema: JsonSchema;
  readonly required: boolean;
}

/** A schema inside a document, with its references followed and `anyOf: [x, null]` read as x that may be null. */
export function resolve(schema: unknown, document: JsonSchema): JsonSchema {
  let current: JsonSchema = isSchema(schema) ? schema : {};
  let nullable = false;
  for (let hops = 0; hops < 32; hops++) {
    const reference = current["$ref"];
    const options = alternatives(current);
    const others = options.filter((option) => option["type"] !== "null");
    if (typeof reference === "string") {
      current = { ...atPointer(document, reference), ...without(current, ["$ref"]) };
    } else if (others.length === 1 && others[0] !== undefined) {
      nullable ||= options.length > 1;
      current = { ...others[0], ...without(current, ["anyOf", "oneOf"]) };
    } else break;
  }
  return nullable ? withNull(current) : current;
}

function withNull(schema: JsonSchema): JsonSchema {
  const allowed = allowedValues(schema);
  if (allowed !== undefined) return { ...schema, enum: [...allowed, null] };
  const types = typesOf(schema);
  return types.length === 0 ? schema : { ...schema, type: [...types, "null"] };
}

export function alternatives(schema: JsonSchema): JsonSchema[] {
  const list = schema["anyOf"] ?? schema["oneOf"];
  return Array.isArray(list) ? list.filter(isSchema) : [];
}

export function properties(schema: JsonSchema, document: JsonSchema): Property[] {
  const members = schema["properties"];
  const required = Array.isArray(schema["required"]) ? schema["required"] : [];
  if (!isSchema(members)) return [];
  return Object.entries(members).map(([name, member]) => ({
    name,
    schema: resolve(member, document),
    required: required.includes(name),
  }));
}

/** The names of the JSON types that a schema allows; empty for any. */
export function typesOf(schema: JsonSchema): string[] {
  const type = schema["type"];
  if (typeof type === "string") return [type];
  return Array.isArray(type) ? type.filter((name) => typeof name === "string") : [];
}

/** The values of an `enum` or `const`; undefined when the schema has none. */
export function allowedValues(schema: JsonSchema): readonly JsonValue[] | undefined {
  if (Object.hasOwn(schema, "const")) return [asJson(schema["const"])];
  const list = schema["enum"];
  return Array.isArray(list) ? list.map(asJson) : undefined;
}

/** How far a type is followed into itself; deeper it is `any`. */
const DEEPEST = 3;

/** A short name of what a schema accepts: `string`, `integer 1..12`, `"a" | "b"`, `number[]`, `object`. */
export function describeType(given: JsonSchema, document: JsonSchema = given, depth = 0): string {
  if (depth > DEEPEST) return "any";
  const schema = resolve(given, document);
  const allowed = allowedValues(schema);
  if (allowed !== undefined)
    return shorten(
      allowed.map((value) => JSON.stringify(value)),
      " | ",
    );
  const options = alternatives(schema);
  if (options.length > 0)
    return shorten(
      options.map((option) => describeType(option, document, depth + 1)),
      " | ",
    );
  const types = typesOf(schema);
  if (types.length === 0) return "any";
  return types.map((type) => describeOne(type, schema, document, depth)).join(" | ");
}

function describeOne(
  type: string,
  schema: JsonSchema,
  document: JsonSchema,
  depth: number,
): string {
  if (type === "array") {
    const items = describeType(resolve(schema["items"], document), document, depth + 1);
    return items.includes(" ") ? `(${items})[]` : `${items}[]`;
  }
  if (type === "string")
    return typeof schema["format"] === "string" ? `string (${schema["format"]})` : "string";
  if (type === "number" || type === "integer") return `${type}${range(schema)}`;
  return type;
}

function range(schema: JsonSchema): string {
  const bound = (name: string): number | undefined => {
    const value = schema[name];
    return typeof value === "number" && Math.abs(value) < Number.MAX_SAFE_INTEGER
      ? value
      : undefined;
  };
  const low = bound("minimum");
  const above = bound("exclusiveMinimum");
  const high = bound("maximum");
  const below = bound("exclusiveMaximum");
  const from = low !== undefined ? `${low}` : above !== undefined ? `>${above}` : "";
  const to = high !== undefined ? `${high}` : below !== undefined ? `<${below}` : "";
  return from === "" && to === "" ? "" : ` ${from}..${to}`;
}

function shorten(parts: readonly string[], separator: string): string {
  return parts.length <= 6
    ? parts.join(separator)
    : `${parts.slice(0, 5).join(separator)}${separator}… (${parts.length})`;
}

/** A value that the schema is likely to accept: its default, its first example, or one made from its type. */
export function exampleOf(given: unknown, document: JsonSchema, depth = 0): JsonValue {
  const schema = resolve(given, document);
  if (Object.hasOwn(schema, "default")) return asJson(schema["default"]);
  const examples = schema["examples"];
  if (Array.isArray(examples) && examples.length > 0) return asJson(examples[0]);
  const allowed = allowedValues(schema);
  if (allowed?.[0] !== undefined) return allowed[0];
  const [first] = alternatives(schema);
  if (first !== undefined && depth < 8) return exampleOf(first, document, depth + 1);
  switch (typesOf(schema)[0]) {
    case "string":
      return exampleText(schema);
    case "integer":
    case "number":
      return exampleNumber(schema);
    case "boolean":
      return true;
    case "array":
      return depth < 8 ? [exampleOf(schema["items"], document, depth + 1)] : [];
    case "object":
      return depth < 8 ? exampleParameters(schema, document, depth + 1) : {};
    default:
      return null;
  }
}

/** Every required property of an object schema, and those that have a default, by example. */
export function exampleParameters(
  schema: JsonSchema,
  document: JsonSchema = schema,
  depth = 0,
): JsonObject {
  const shown = properties(schema, document).filter(
    (property) => property.required || Object.hasOwn(property.schema, "default"),
  );
  return Object.fromEntries(
    shown.map((property) => [property.name, exampleOf(property.schema, document, depth)]),
  );
}

const EXAMPLE_BY_FORMAT: Readonly<Record<string, string>> = {
  email: "someone@example.com",
  uri: "https://example.com",
  date: "2026-01-31",
  "date-time": "2026-01-31T12:00:00Z",
  uuid: "0190a6e2-7b3c-7d4e-8f5a-6b7c8d9e0f1a",
};

function exampleText(schema: JsonSchema): string {
  const format = schema["format"];
  return (typeof format === "string" ? EXAMPLE_BY_FORMAT[format] : undefined) ?? "text";
}

function exampleNumber(schema: JsonSchema): number {
  const at = (name: string): number | undefined =>
    typeof schema[name] === "number" ? schema[name] : undefined;
  const low =
    at("minimum") ??
    (at("exclusiveMinimum") === undefined ? undefined : (at("exclusiveMinimum") ?? 0) + 1);
  const value = low === undefined || low < -1e9 ? 1 : low;
  const high = at("maximum");
  return high !== undefined && value > high ? high : value;
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function atPointer(document: JsonSchema, reference: string): JsonSchema {
  let current: unknown = document;
  for (const part of reference.replace(/^#\/?/, "").split("/")) {
    if (part === "") continue;
    const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
    current = isSchema(current) && Object.hasOwn(current, key) ? current[key] : undefined;
  }
  return isSchema(current) ? current : {};
}

function without(schema: JsonSchema, keys: readonly string[]): JsonSchema {
  return Object.fromEntries(Object.entries(schema).filter(([key]) => !keys.includes(key)));
}

function asJson(value: unknown): JsonValue {
  if (
    value === null ||
    typeof value === "string" ||
    typeof value === "number" ||
    typeof value === "boolean"
  )
    return value;
  if (Array.isArray(value)) return value.map(asJson);
  if (isJsonObject(value)) return value;
  return null;
}
