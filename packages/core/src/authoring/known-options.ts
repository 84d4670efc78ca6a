import { suggest } from "../suggestion.ts";

/** Options that begin with the same letters are meant by each other. */
const STEM = 4;

/**
 * What is wrong with the names of options, as the end of a sentence; undefined when all are known. Types catch that as well, but a pipeline that is loaded
 * without a type check must not lose an option to a typo: it may be the one that asks for a key.
 */
export function unknownOption(options: object, known: readonly string[]): string | undefined {
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown === undefined) return undefined;
  // `retry` is far from `retries` by its letters.
  const stem = unknown.slice(0, STEM);
  const meant =
    suggest(unknown, known) ?? known.find((name) => stem.length === STEM && name.startsWith(stem));
  return `has no option "${unknown}".${meant === undefined ? "" : ` Did you mean "${meant}"?`}`;
}

/** Code without types may call with anything. */
export function isObject(options: unknown): boolean {
  return typeof options === "object" && options !== null;
}
