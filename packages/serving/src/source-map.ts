import { readFileSync } from "node:fs";
import { SourceMap } from "node:module";

/** A frame's place: the file as a URL, line and column. */
const PLACE = /(file:\/\/[^\s()]+?):(\d+):(\d+)/g;

/** By the URL of the code; null where a file has no map. */
const maps = new Map<string, SourceMap | null>();

/** Where the code of Millrace lies that is below every call of the user's. */
const OWN_FOLDERS = [
  new URL(".", import.meta.url).href,
  ...["@millrace/engine", "@millrace/core"].flatMap(folderOf),
];

/**
 * A stack in which the places in bundled code are those of its sources, without the frames of Millrace and of Node's
 * insides as long as others are left, or without any when Millrace made the error itself: its message says all. Maps are read when the first stack needs them: Node's own support reads each one at
 * start-up, which takes time and memory of every process for what few ever need.
 */
export function originalStack(stack: string, isOwn = false): string {
  const lines = stack
    .split("\n")
    .map((line) => ({ frame: /^\s+at /.test(line), line, shown: shown(line) }));
  const others = lines.filter(({ frame, line, shown }) => !frame || !isInside(line, shown));
  const kept = isOwn || others.some(({ frame }) => frame) ? others : lines;
  return kept.map(({ shown }) => shown).join("\n");
}

function shown(line: string): string {
  return line.replaceAll(PLACE, (place, file: string, row: string, column: string) => {
    const origin = mapOf(file)?.findOrigin(Number(row), Number(column));
    return origin !== undefined && "fileName" in origin
      ? `${origin.fileName}:${origin.lineNumber}:${origin.columnNumber}`
      : place;
  });
}

/** A bundle names the sources that it has from packages by their package. */
function isInside(line: string, shown: string): boolean {
  return (
    /\(?(node:internal\/|@millrace\/)/.test(shown) ||
    OWN_FOLDERS.some((folder) => line.includes(folder))
  );
}

/** Nothing where the package is part of one file, as in an image. */
function folderOf(name: string): string[] {
  try {
    return [new URL(".", import.meta.resolve(name)).href];
  } catch {
    return [];
  }
}

function mapOf(file: string): SourceMap | null {
  const known = maps.get(file);
  if (known !== undefined) return known;
  const map = readMap(file);
  maps.set(file, map);
  return map;
}

function readMap(file: string): SourceMap | null {
  try {
    return new SourceMap(JSON.parse(readFileSync(new URL(`${file}.map`), "utf8")));
  } catch {
    // No map, or none that can be read: the place in the code itself has to do.
    return null;
  }
}
