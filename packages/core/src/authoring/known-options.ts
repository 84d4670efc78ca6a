import { suggest } from "../suggestion.ts";

/**
 * What is wrong with the names of options, as the end of a sentence; undefined when all are known. Types catch that as well, but a pipeline that is loaded
 * without a type check must not lose an option to a typo: it may be the one that asks for a key.
 */
export function unknownOption(options: object, known: readonly string[]): string | undefined {
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown === undefined) return undefined;
  const meant = suggest(unknown, known);
  return `has no option "${unknown}".${meant === undefined ? "" : ` Did you mean "${meant}"?`}`;
}
