import { type Issue, messageOf } from "@millrace/core";

type Schema = Readonly<Record<string, unknown>>;

/**
 * True when JSON carries every value that fits the schema, so that no value has to be looked at: zod has judged it
 * already. False also where that cannot be told.
 */
export function isJsonOnly(schema: unknown): boolean {
  if (!isSchema(schema)) return schema === false;
  if ("const" in schema || "enum" in schema) return true;
  const options = schema["anyOf"] ?? schema["oneOf"] ?? schema["allOf"];
  if (Array.isArray(options)) return options.every(isJsonOnly);
  const { type } = schema;
  return Array.isArray(type)
    ? type.every((one) => isJsonOnlyType(one, schema))
    : isJsonOnlyType(type, schema);
}

function isJsonOnlyType(type: unknown, schema: Schema): boolean {
  switch (type) {
    case "null":
    case "boolean":
    case "number":
    case "integer":
      return true;
    case "string":
      // zod's schema of a file.
      return schema["format"] !== "binary";
    case "array": {
      const { items, prefixItems } = schema;
      const first = Array.isArray(prefixItems) ? prefixItems : undefined;
      return (first ?? []).every(isJsonOnly) && isJsonOnly(items ?? first === undefined);
    }
    case "object": {
      const { properties, additionalProperties } = schema;
      const known = isSchema(properties) ? Object.values(properties) : undefined;
      return (
        (known ?? []).every(isJsonOnly) && isJsonOnly(additionalProperties ?? known === undefined)
      );
    }
    default:
      return false;
  }
}

function isSchema(schema: unknown): schema is Schema {
  return typeof schema === "object" && schema !== null;
}

/**
 * The first place in a value that JSON.stringify would refuse or silently lose; undefined when there is none. Members
 * that are `undefined` are left out, and what has a `toJSON` of its own is trusted to know its JSON.
 */
export function jsonLoss(value: unknown): Issue | undefined {
  const path: (string | number)[] = [];
  try {
    const message = value === undefined ? undefined : lossOf(value, path, []);
    return message === undefined ? undefined : { path, message };
  } catch (error) {
    return { path, message: unreadable(error) };
  }
}

/** What is wrong with a value that threw when it was read or written. */
export function unreadable(error: unknown): string {
  return error instanceof RangeError
    ? "is too large or nested too deeply"
    : `throws: ${messageOf(error)}`;
}

/** `path` is left pointing to the place of the loss, also when reading throws. */
function lossOf(
  value: unknown,
  path: (string | number)[],
  parents: readonly object[],
): string | undefined {
  switch (typeof value) {
    case "string":
    case "boolean":
      return undefined;
    case "number":
      return Number.isFinite(value) ? undefined : `is ${value}`;
    case "object":
      return value === null ? undefined : lossOfObject(value, path, parents);
    case "undefined":
      return "is undefined";
    default:
      return `is a ${typeof value}`;
  }
}

function lossOfObject(
  value: object,
  path: (string | number)[],
  parents: readonly object[],
): string | undefined {
  if ("toJSON" in value && typeof value.toJSON === "function") {
    JSON.stringify(value);
    return undefined;
  }
  if (parents.includes(value)) return "contains itself";
  const inner = [...parents, value];
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      path.push(index);
      const loss = lossOf(item, path, inner);
      if (loss !== undefined) return loss;
      path.pop();
    }
    return undefined;
  }
  const tag = Object.prototype.toString.call(value).slice(8, -1);
  if (tag !== "Object") return `is of type ${tag}`;
  for (const key of Object.keys(value)) {
    path.push(key);
    const member: unknown = Reflect.get(value, key);
    const loss = member === undefined ? undefined : lossOf(member, path, inner);
    if (loss !== undefined) return loss;
    path.pop();
  }
  return undefined;
}
