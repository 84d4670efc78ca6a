import { inspect } from "node:util";

const REDACTED = "[secret]";
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

/** Replaces each clear value of the given secrets in a text. Values shorter than 4 characters are left: they would garble it. */
export function redact(text: string, secrets: Iterable<Secret>): string {
  let redacted = text;
  for (const secret of secrets) {
    const value = secret.reveal();
    if (value.length >= 4) redacted = redacted.replaceAll(value, REDACTED);
  }
  return redacted;
}
