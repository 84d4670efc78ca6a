import { inspect } from "node:util";

/** What stands in place of a secret. */
export const REDACTED = "[secret]";
const BRAND = Symbol.for("millrace.secret");

/**
 * A value that cannot be printed, logged or serialised by accident: String(), JSON.stringify(), util.inspect(),
 * structured clone and object spread all show `[secret]` or nothing. `reveal()` is the only way to the value, which
 * makes each place that uses one easy to find.
 */
export class Secret {
  readonly #value: string;
  readonly [BRAND] = true;

  constructor(value: string) {
    this.#value = value;
  }

  /** The clear value. Hand it straight to the place that needs it. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [Symbol.toPrimitive](): string {
    return REDACTED;
  }

  [inspect.custom](): string {
    return REDACTED;
  }
}

/** Recognises secrets of any copy of this package. */
export function isSecret(value: unknown): value is Secret {
  return typeof value === "object" && value !== null && BRAND in value;
}

/** Values shorter than this are left in texts: they would garble them. */
const SHORTEST_VALUE = 4;
/** The same for the lines of a value that has several. */
const SHORTEST_LINE = 8;

/** Forms that a value takes in texts: as it is, within JSON, and cut into lines. */
const forms = new WeakMap<Secret, readonly string[]>();

function formsOf(secret: Secret): readonly string[] {
  const known = forms.get(secret);
  if (known !== undefined) return known;
  const value = secret.reveal();
  const inJson = (text: string): string => JSON.stringify(text).slice(1, -1);
  const lines = value.split(/\r?\n/).filter((line) => line.trim().length >= SHORTEST_LINE);
  const all = value.length < SHORTEST_VALUE ? [] : [value, ...lines];
  // A line of JSON within a line of JSON is escaped twice.
  const made = [...new Set(all.flatMap((text) => [text, inJson(text), inJson(inJson(text))]))];
  forms.set(secret, made);
  return made;
}

/**
 * Replaces the clear values of secrets in a text, also where they are escaped as in JSON, and each longer line of a value
 * that has several. Values shorter than 4 characters are left: they would garble it.
 */
export function redact(text: string, secrets: Iterable<Secret>): string {
  const found: string[] = [];
  for (const secret of secrets)
    for (const form of formsOf(secret)) if (text.includes(form)) found.push(form);
  // Longest first, of all secrets: of one that holds another the rest would be left. Most texts hold none, so only what was
  // found is put in order.
  found.sort((a, b) => b.length - a.length);
  return found.reduce((cleaned, form) => cleaned.replaceAll(form, REDACTED), text);
}
