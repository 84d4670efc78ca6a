import { z } from "zod";
import { isJsonObject, type JsonSchema, type JsonValue } from "../json.ts";
import { suggest } from "../suggestion.ts";
import type { Graph, Wire } from "./graph.ts";
import { describeSource, wiringError } from "./reference.ts";
import type { StepDefinition } from "./step-definition.ts";

/** References of schemas to schemas may go round in circles, and so may what they describe. */
const DEEPEST = 20;

/** A schema with the document that its references lead into. */
interface Place {
  readonly schema: JsonSchema;
  readonly root: JsonSchema;
}

type Source = Extract<Wire, { path: unknown }>;

/**
 * Holds a graph against the schemas of what it wires, as the compiler does with the types: fields that do not exist, inputs that
 * nothing is wired to, values of another type. Only what is certainly wrong is refused; where schemas say too little, as of unions
 * and of what is converted, runs tell.
 * @throws MillraceError `PIPELINE_WIRING`, which names step and field.
 */
export function checkWiring(
  { steps, outputs }: Graph,
  definitions: ReadonlyMap<string, StepDefinition>,
  input: z.ZodObject,
): void {
  const yields = new Map<string, Place>();
  const given = placeOf(input, "output");
  for (const [id, { output }] of definitions) yields.set(id, placeOf(output, "output"));
  const sourceOf = (source: Source, where: string): Place | undefined =>
    placeAt(source.from === "input" ? given : yields.get(source.step), source, where);
  const checkFields = (
    fields: Readonly<Record<string, Wire>>,
    wanted: Place | undefined,
    where: string,
  ): void => {
    const takes = wanted && objectAt(wanted);
    if (takes !== undefined) mustBeWhole(new Set(Object.keys(fields)), takes, where);
    for (const [name, field] of Object.entries(fields))
      check(field, takes?.members.get(name), `${where}.${name}`);
  };
  const check = (wire: Wire, wanted: Place | undefined, where: string): void => {
    if (wire.from === "input" || wire.from === "step") {
      mustFit(sourceOf(wire, where), wanted, where, describeSource(wire));
      return;
    }
    const made = opened(wire);
    const type = made.from === "value" ? typeOf(made.value) : made.from;
    mustFit({ schema: { type }, root: {} }, wanted, where, "the value");
    if (made.from === "object") checkFields(made.fields, wanted, where);
    if (made.from === "array")
      for (const [index, item] of made.items.entries())
        check(item, wanted && itemOf(wanted, index), `${where}[${index}]`);
  };
  for (const { id, input: wire } of steps) {
    const definition = definitions.get(id);
    if (definition !== undefined)
      check(wire, placeOf(definition.input, "input"), `Step "${id}": input`);
  }
  for (const [name, wire] of Object.entries(outputs)) check(wire, undefined, `Output "${name}"`);
}

type Composed = Exclude<Wire, Source>;

/** A literal object or array as one that is composed of literals. */
function opened(wire: Composed): Composed {
  if (wire.from !== "value") return wire;
  const literal = (value: JsonValue): Wire => ({ from: "value", value });
  const { value } = wire;
  if (Array.isArray(value)) return { from: "array", items: value.map(literal) };
  if (!isJsonObject(value)) return wire;
  const fields = Object.entries(value).map(([name, member]) => [name, literal(member)] as const);
  return { from: "object", fields: Object.fromEntries(fields) };
}

function placeOf(schema: z.ZodType, io: "input" | "output"): Place {
  const root = documentOf(schema, io);
  return { schema: root, root };
}

function documentOf(schema: z.ZodType, io: "input" | "output"): JsonSchema {
  try {
    return z.toJSONSchema(schema, {
      io,
      unrepresentable: "any",
      override: ({ zodSchema, jsonSchema }) => {
        // It takes whatever can be converted, and the schema tells of the result.
        if (converts(zodSchema._zod.def))
          for (const key of Object.keys(jsonSchema)) Reflect.deleteProperty(jsonSchema, key);
      },
    });
  } catch {
    // Between steps there may be what no JSON Schema describes: of that nothing is known.
    return {};
  }
}

const convertingSchema = z.union([
  z.looseObject({ coerce: z.literal(true) }),
  z.looseObject({
    type: z.literal("pipe"),
    in: z.looseObject({
      _zod: z.looseObject({ def: z.looseObject({ type: z.literal("transform") }) }),
    }),
  }),
]);

/** Whether a schema converts its input before it looks at it: `z.coerce`, `z.preprocess`. */
function converts(definition: unknown): boolean {
  return convertingSchema.safeParse(definition).success;
}

/** The schema that references lead to; undefined where they lead nowhere. */
function resolved({ schema, root }: Place, depth = 0): Place | undefined {
  const { $ref } = schema;
  if (typeof $ref !== "string") return { schema, root };
  if (depth > DEEPEST) return undefined;
  if ($ref === "#") return { schema: root, root };
  const name = /^#\/\$defs\/(.+)$/.exec($ref)?.[1];
  const definitions = root["$defs"];
  const found = name !== undefined && isSchema(definitions) ? definitions[name] : undefined;
  return isSchema(found) ? resolved({ schema: found, root }, depth + 1) : undefined;
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What an object may hold. */
interface Members {
  readonly members: ReadonlyMap<string, Place>;
  readonly required: ReadonlySet<string>;
  /** That it holds nothing else. */
  readonly closed: boolean;
}

/** Undefined for what is no object, or no simple one. */
function objectAt(place: Place): Members | undefined {
  const found = resolved(place);
  if (found === undefined) return undefined;
  const { schema, root } = found;
  const { additionalProperties, properties, required, type } = schema;
  const isSimple = !["allOf", "anyOf", "oneOf", "not", "patternProperties"].some(
    (key) => key in schema,
  );
  if (type !== "object" || !isSimple || !isSchema(properties)) return undefined;
  const members = new Map<string, Place>();
  for (const [name, member] of Object.entries(properties))
    if (isSchema(member)) members.set(name, { schema: member, root });
  return {
    members,
    required: new Set(Array.isArray(required) ? required.map(String) : []),
    closed: additionalProperties === undefined || additionalProperties === false,
  };
}

function itemOf(place: Place, index: number): Place | undefined {
  const found = resolved(place);
  if (found === undefined || found.schema["type"] !== "array") return undefined;
  const { prefixItems, items } = found.schema;
  const item: unknown =
    Array.isArray(prefixItems) && index < prefixItems.length ? prefixItems[index] : items;
  return isSchema(item) ? { schema: item, root: found.root } : undefined;
}

/** The place that a reference leads to; undefined where the schemas do not tell. */
function placeAt(start: Place | undefined, source: Source, where: string): Place | undefined {
  let current = start;
  for (const [depth, part] of source.path.entries()) {
    if (current === undefined) return undefined;
    const parent = describeSource({ ...source, path: source.path.slice(0, depth) });
    const members = objectAt(current);
    if (members === undefined) {
      const types = typesAt(current);
      if (types !== undefined && !types.has("object") && !types.has("array"))
        throw noField(where, parent, String(part), `it is ${articled(types)}`);
      current = typeof part === "number" ? itemOf(current, part) : undefined;
      continue;
    }
    const member = members.members.get(String(part));
    if (member === undefined && members.closed)
      throw noField(where, parent, String(part), undefined, members.members.keys());
    current = member;
  }
  return current;
}

function noField(
  where: string,
  parent: string,
  field: string,
  why: string | undefined,
  known: Iterable<string> = [],
) {
  const names = [...known];
  const meant = suggest(field, names);
  return wiringError(
    `${where} reads ${parent}.${field}, and ${parent} has no field "${field}"${why === undefined ? "" : `: ${why}`}.${meant === undefined ? "" : ` Did you mean "${meant}"?`}`,
    names.length === 0 ? "Read a value that has it." : `It has: ${names.join(", ")}.`,
  );
}

function mustBeWhole(
  wired: ReadonlySet<string>,
  { closed, members, required }: Members,
  where: string,
): void {
  for (const name of wired) {
    if (members.has(name) || !closed) continue;
    const meant = suggest(name, members.keys());
    throw wiringError(
      `${where} has no field "${name}".${meant === undefined ? "" : ` Did you mean "${meant}"?`}`,
      members.size === 0 ? "Leave it out." : `It has: ${[...members.keys()].join(", ")}.`,
    );
  }
  for (const name of required)
    if (!wired.has(name))
      throw wiringError(
        `${where}.${name} is required, and nothing is wired to it.`,
        "Wire an output of a step, a field of the pipeline's input or a JSON literal to it.",
      );
}

function mustFit(
  source: Place | undefined,
  wanted: Place | undefined,
  where: string,
  what: string,
  depth = 0,
): void {
  if (source === undefined || wanted === undefined || depth > DEEPEST) return;
  const [has, takes] = [typesAt(source), typesAt(wanted)];
  if (has !== undefined && takes !== undefined && has.isDisjointFrom(takes))
    throw wiringError(
      `${where} takes ${articled(takes)}, and ${what} is ${articled(has)}.`,
      "Wire a value of that type, or convert it in a step.",
    );
  const [from, to] = [objectAt(source), objectAt(wanted)];
  if (from === undefined || to === undefined) return;
  for (const name of to.required) {
    const member = from.members.get(name);
    if (member === undefined && from.closed)
      throw wiringError(
        `${where}.${name} is required, and ${what} has no field "${name}".`,
        "Wire the fields one by one, or another value.",
      );
    mustFit(member, to.members.get(name), `${where}.${name}`, `${what}.${name}`, depth + 1);
  }
}

/** JSON's types that a value may have; undefined where the schema does not tell. Whole numbers are numbers. */
function typesAt(place: Place, depth = 0): ReadonlySet<string> | undefined {
  const found = resolved(place);
  if (found === undefined || depth > DEEPEST) return undefined;
  const { schema, root } = found;
  const alternatives = schema["anyOf"] ?? schema["oneOf"];
  if (Array.isArray(alternatives)) {
    const all = alternatives.map((one: unknown) =>
      isSchema(one) ? typesAt({ schema: one, root }, depth + 1) : undefined,
    );
    const known = all.filter((types) => types !== undefined);
    return known.length < all.length ? undefined : new Set(known.flatMap((types) => [...types]));
  }
  if ("const" in schema) return new Set([typeOf(schema["const"])]);
  if (Array.isArray(schema["enum"])) return new Set(schema["enum"].map(typeOf));
  const types = [schema["type"]].flat().filter((type) => typeof type === "string");
  return types.length === 0
    ? undefined
    : new Set(types.map((type) => (type === "integer" ? "number" : type)));
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

function articled(types: ReadonlySet<string>): string {
  return [...types]
    .map((type) => (type === "null" ? "null" : `${/^[aeiou]/.test(type) ? "an" : "a"} ${type}`))
    .join(" or ");
}
