import { readFileSync } from "node:fs";
import { SourceMap } from "node:module";

/** A frame's place: the file as a URL, line and column. */
const PLACE = /(file:\/\/[^\s()]+?):(\d+):(\d+)/g;

/** By the URL of the code; null where a file has no map. */
const maps = new Map<string, SourceMap | null>();

/**
 * A stack in which the places in bundled code are those of its sources. Maps are read when the first stack needs them:
 * Node's own support reads each one at start-up, which takes time and memory of every process for what few ever need.
 */
export function originalStack(stack: string): string {
  return stack.replaceAll(PLACE, (place, file: string, line: string, column: string) => {
    const origin = mapOf(file)?.findOrigin(Number(line), Number(column));
    return origin !== undefined && "fileName" in origin
      ? `${origin.fileName}:${origin.lineNumber}:${origin.columnNumber}`
      : place;
  });
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
