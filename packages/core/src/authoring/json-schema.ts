import { z } from "zod";
import { MillraceError, messageOf } from "../errors.ts";
import type { JsonSchema } from "../json.ts";

/**
 * The JSON Schema (draft 2020-12) of a zod schema: of what it accepts (`input`) or of what it yields (`output`).
 * @throws MillraceError `SCHEMA_NOT_JSON` when it holds something that JSON cannot carry.
 */
export function jsonSchemaOf(schema: z.ZodType, io: "input" | "output", what: string): JsonSchema {
  try {
    const { $schema: _, ...document } = z.toJSONSchema(schema, { io });
    return document;
  } catch (cause) {
    throw new MillraceError({
      class: "pipeline",
      code: "SCHEMA_NOT_JSON",
      message: `${what} cannot be described as JSON: ${messageOf(cause)}.`,
      action:
        "Parameters and outputs travel as JSON. Use for example z.iso.datetime() for dates, arrays for sets, objects for maps; values between steps may be anything.",
      cause,
    });
  }
}

/** True for z.object schemas of any copy of zod 4. */
export function isObjectSchema(schema: unknown): schema is z.ZodObject {
  if (typeof schema !== "object" || schema === null || !("_zod" in schema)) return false;
  const { def } = schema._zod as { def?: { type?: string } };
  return def?.type === "object";
}

/** The schema of a field inside a schema; `{}` (anything) where the path leads through unions or references. */
export function fieldSchema(schema: JsonSchema, path: readonly (string | number)[]): JsonSchema {
  let current = schema;
  for (const part of path) {
    const next =
      typeof part === "number" ? item(current, part) : property(current["properties"], part);
    if (typeof next !== "object" || next === null) return {};
    current = next as JsonSchema;
  }
  return current;
}

/** Whether every value of a schema has something at a path. False where that cannot be told. */
export function isAlwaysThere(schema: JsonSchema, path: readonly (string | number)[]): boolean {
  let current = schema;
  for (const part of path) {
    const { required, minItems } = current;
    const isThere =
      typeof part === "number"
        ? typeof minItems === "number" && part < minItems
        : Array.isArray(required) && required.includes(part);
    if (!isThere) return false;
    current = fieldSchema(current, [part]);
  }
  return !allowsAnything(current);
}

const RESTRICTING = ["type", "const", "enum", "$ref", "oneOf", "allOf"];

/** Also `undefined`, which JSON leaves out. */
function allowsAnything(schema: JsonSchema): boolean {
  const { anyOf } = schema;
  if (Array.isArray(anyOf)) return anyOf.some(allowsAnything);
  return !RESTRICTING.some((key) => key in schema);
}

function item(schema: JsonSchema, index: number): unknown {
  const { prefixItems, items } = schema;
  return Array.isArray(prefixItems) && index < prefixItems.length ? prefixItems[index] : items;
}

function property(properties: unknown, name: string): unknown {
  return typeof properties === "object" && properties !== null && Object.hasOwn(properties, name)
    ? Reflect.get(properties, name)
    : undefined;
}

/** Whether a schema refers to another place of its document. */
export function hasReference(schema: unknown): boolean {
  if (typeof schema !== "object" || schema === null) return false;
  return Object.entries(schema).some(
    ([key, value]) => (key === "$ref" && typeof value === "string") || hasReference(value),
  );
}

/**
 * A document's own definitions, and itself, under names for a document that holds several: `name`, and `name-DEFINITION`.
 */
export function definitionsOf(document: JsonSchema, name: string): Record<string, JsonSchema> {
  const { $defs, ...root } = document;
  const named = isSchemas($defs) ? Object.entries($defs) : [];
  return {
    [name]: moveReferences(root, name),
    ...Object.fromEntries(
      named.map(([key, schema]) => [`${name}-${key}`, moveReferences(schema, name)]),
    ),
  };
}

function isSchemas(value: unknown): value is Record<string, JsonSchema> {
  return typeof value === "object" && value !== null;
}

/** The schema with its references as `definitionsOf` names what they lead to. */
export function moveReferences(schema: JsonSchema, name: string): JsonSchema {
  const moved = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(moved);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, member]) => [
        key,
        key === "$ref" && typeof member === "string" ? movedReference(member, name) : moved(member),
      ]),
    );
  };
  const made: JsonSchema = {};
  return Object.assign(made, moved(schema));
}

function movedReference(reference: string, name: string): string {
  return reference === "#"
    ? `#/$defs/${name}`
    : reference.replace(/^#\/\$defs\//, `#/$defs/${name}-`);
}
