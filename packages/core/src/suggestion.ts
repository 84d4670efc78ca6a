import { distance } from "fastest-levenshtein";

/** The candidate that the mistyped word most likely meant; undefined when none is close. Case and `_`/`-` do not count. */
export function suggest(word: string, candidates: Iterable<string>): string | undefined {
  const plain = (text: string): string => text.toLowerCase().replaceAll(/[_-]/g, "");
  let best: { candidate: string; distance: number } | undefined;
  for (const candidate of candidates) {
    const d = distance(plain(word), plain(candidate));
    if (best === undefined || d < best.distance) best = { candidate, distance: d };
  }
  return best !== undefined && best.distance <= Math.max(1, Math.floor(word.length / 3))
    ? best.candidate
    : undefined;
}
