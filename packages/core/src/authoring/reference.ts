import { MillraceError } from "../errors.ts";
import type { JsonValue } from "../json.ts";
import { isSecret } from "../secret.ts";
import type { Wire } from "./graph.ts";

declare const referenced: unique symbol;
declare const requiredState: unique symbol;

type Primitive = string | number | boolean | bigint | symbol | null | undefined;
type Opaque =
  | Primitive
  | Date
  | RegExp
  | ArrayBufferView
  | ArrayBuffer
  | Map<never, never>
  | Set<never>
  | ((...args: never) => unknown);

/** Members of `T` that a reference offers as fields; a field of a value that may be missing may be missing too. */
type Fields<T, State> = [NonNullable<T>] extends [Opaque]
  ? unknown
  : NonNullable<T> extends readonly (infer Item)[]
    ? number extends NonNullable<T>["length"]
      ? { readonly [index: number]: Reference<Item | undefined, State> }
      : { readonly [K in keyof NonNullable<T> & `${number}`]: Reference<NonNullable<T>[K], State> }
    : {
        readonly [K in keyof NonNullable<T> & string]-?: Reference<
          undefined extends T
            ? NonNullable<T>[K] | undefined
            : null extends T
              ? NonNullable<T>[K] | undefined
              : NonNullable<T>[K],
          State
        >;
      };

/**
 * Stands for a value that a step or the pipeline's input will have at run time, while `build` wires the graph.
 * Fields are read as on the value itself (`weather.celsius`, `items[0]`) and keep their types.
 *
 * `State` is the pipeline state that the steps behind the value need; `definePipeline` checks it against `onInit`.
 */
export type Reference<T, State = unknown> = {
  readonly [referenced]: T;
  readonly [requiredState]?: (state: State) => void;
} & Fields<T, State>;

/** What may be wired where a `T` is wanted: a reference to it, a literal, or an object or array of these. */
export type Wiring<T, State> =
  | Reference<T, State>
  | ([T] extends [Opaque]
      ? T
      : T extends readonly (infer Item)[]
        ? readonly Wiring<Item, State>[]
        : T extends object
          ? { readonly [K in keyof T]: Wiring<T[K], State> }
          : T);

const WIRE = Symbol("wire");

type Source = Extract<Wire, { from: "input" | "step" }>;

/** Makes the run-time side of a reference: a proxy whose property reads extend the path. */
export function makeReference(source: Source): object {
  return new Proxy(Object.freeze({}), {
    get(_target, key) {
      if (key === WIRE) return source;
      if (
        key === Symbol.toPrimitive ||
        key === "toString" ||
        key === "valueOf" ||
        key === "toJSON"
      ) {
        throw wiringError(
          `The value of ${describeSource(source)} was read while the graph is wired; it exists only when the pipeline runs.`,
          "Pass the reference on to a step and read the value there: invocation parameters cannot change the graph.",
        );
      }
      if (typeof key === "symbol") return undefined;
      // A promise-like probe (`await reference`) must not look like a field.
      if (key === "then") {
        throw wiringError(
          `${describeSource(source)} was awaited while the graph is wired; it is a reference and not a promise.`,
          "Make `build` a plain function and pass references on without await.",
        );
      }
      const part = /^(0|[1-9]\d*)$/.test(key) ? Number(key) : key;
      return makeReference({ ...source, path: [...source.path, part] });
    },
    ownKeys() {
      throw wiringError(
        `${describeSource(source)} was spread or enumerated while the graph is wired; its fields are known only at run time.`,
        "Name the fields one by one, or pass the whole reference on.",
      );
    },
    set() {
      throw wiringError(
        `${describeSource(source)} cannot be changed: it is a reference.`,
        "Compute the new value in a step.",
      );
    },
  });
}

function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

export function sourceOf(value: unknown): Source | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  return Reflect.get(value, WIRE) as Source | undefined;
}

/**
 * Turns what was passed to a step, or returned from `build`, into a wire. `where` names the place for error messages,
 * `parents` what the value is a part of.
 */
export function toWire(value: unknown, where: string, parents: readonly unknown[] = []): Wire {
  const source = sourceOf(value);
  if (source !== undefined) return source;
  if (value === null || typeof value === "string" || typeof value === "boolean")
    return { from: "value", value };
  if (typeof value === "number" && Number.isFinite(value)) return { from: "value", value };
  if (parents.includes(value)) {
    throw wiringError(
      `${where} is a value that contains itself, which JSON cannot carry.`,
      "Leave it out there.",
    );
  }
  const inner = [...parents, value];
  if (Array.isArray(value)) {
    const items = value.map((item, index) => toWire(item, `${where}[${index}]`, inner));
    return items.every((item) => item.from === "value")
      ? { from: "value", value: items.map((item) => item.value) }
      : { from: "array", items };
  }
  if (typeof value === "object" && !isSecret(value) && isPlainObject(value)) {
    const fields: Record<string, Wire> = {};
    for (const [key, member] of Object.entries(value)) {
      checkKey(key, where);
      if (member !== undefined) fields[key] = toWire(member, `${where}.${key}`, inner);
    }
    return Object.values(fields).every((field) => field.from === "value")
      ? { from: "value", value: literalOf(fields) }
      : { from: "object", fields };
  }
  throw wiringError(
    `${where} is ${describeValue(value)}; only references and JSON values can be wired.`,
    "Pass the output of a step, a field of the pipeline's input or a JSON literal.",
  );
}

/** A value under `__proto__` would be lost: to assign it changes what an object inherits from. */
export function checkKey(key: string, where: string): void {
  if (key !== "__proto__") return;
  throw wiringError(`${where} has a field "__proto__", which is no usable name.`, "Rename it.");
}

function literalOf(fields: Readonly<Record<string, Wire>>): JsonValue {
  const literal: Record<string, JsonValue> = {};
  for (const [key, field] of Object.entries(fields))
    if (field.from === "value") literal[key] = field.value;
  return literal;
}

function describeValue(value: unknown): string {
  if (value === undefined) return "undefined";
  if (typeof value === "function")
    return `a function${value.name === "" ? "" : ` (${value.name})`}`;
  if (typeof value === "object" && value !== null)
    return `an instance of ${value.constructor?.name ?? "a class"}`;
  return `the ${typeof value} ${String(value)}`;
}

export function describeSource(source: Source): string {
  const root = source.from === "input" ? "input" : source.step;
  return [root, ...source.path].join(".");
}

export function wiringError(message: string, action: string): MillraceError {
  return new MillraceError({ class: "pipeline", code: "PIPELINE_WIRING", message, action });
}
