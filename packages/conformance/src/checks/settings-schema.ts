import { strict as assert } from "node:assert";
import { z } from "zod";

type Schema = z.core.JSONSchema.BaseSchema;

export function schemaOf(settings: z.ZodType): Schema {
  return z.toJSONSchema(settings, { io: "input", unrepresentable: "any" });
}

/** Paths of the objects that accept unknown keys. */
export function openObjects(settings: z.ZodType): readonly string[] {
  return objects(schemaOf(settings)).flatMap(([path, { additionalProperties }]) =>
    additionalProperties === false ? [] : [path],
  );
}

/** Paths of the settings without a description. */
export function undescribed(settings: z.ZodType): readonly string[] {
  const root = schemaOf(settings);
  return objects(root).flatMap(([path, { properties = {} }]) =>
    Object.entries(properties).flatMap(([name, member]) =>
      isDescribed(member, root) ? [] : [`${path}.${name}`],
    ),
  );
}

function isDescribed(member: boolean | Schema, root: Schema): boolean {
  return typeof member === "object" && (resolved(member, root).description ?? "") !== "";
}

/** Every object with members of its own, also in lists, maps and alternatives. */
function objects(root: Schema): [path: string, schema: Schema][] {
  const found: [path: string, schema: Schema][] = [];
  // A schema may contain itself.
  const references = new Set(["#"]);
  const visit = (given: boolean | Schema, path: string): void => {
    if (typeof given === "boolean") return;
    if (given.$ref !== undefined) {
      if (references.has(given.$ref)) return;
      references.add(given.$ref);
    }
    const schema = resolved(given, root);
    const { properties, additionalProperties = false, items = [], prefixItems = [] } = schema;
    if (properties !== undefined) found.push([path, schema]);
    for (const [name, member] of Object.entries(properties ?? {})) visit(member, `${path}.${name}`);
    visit(additionalProperties, `${path}.*`);
    for (const item of [items, prefixItems].flat()) visit(item, `${path}[]`);
    const { anyOf = [], oneOf = [], allOf = [] } = schema;
    for (const part of [anyOf, oneOf, allOf].flat()) visit(part, path);
  };
  visit(root, "settings");
  return found;
}

/** With what it refers to, if it does. */
function resolved(schema: Schema, root: Schema): Schema {
  const { $ref, ...own } = schema;
  if ($ref === undefined) return schema;
  const definition = $ref === "#" ? root : root.$defs?.[$ref.replace("#/$defs/", "")];
  assert.ok(definition !== undefined, `the settings' schema has no ${$ref}`);
  return { ...resolved(definition, root), ...own };
}
