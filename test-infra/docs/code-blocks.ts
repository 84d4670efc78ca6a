import { readPage } from "./generated.ts";

/** A fenced block of a page: ```ts title="src/index.ts" */
export interface Block {
  readonly page: string;
  readonly line: number;
  readonly language: string;
  /** Path of the file that the block is; null when it is none. */
  readonly title: string | null;
  readonly text: string;
}

export function blocksOf(page: string): Block[] {
  const text = readPage(page);
  return [...text.matchAll(/^```(\w+)([^\n]*)\n([\s\S]*?)^```$/gm)].map((match) => ({
    page,
    line: text.slice(0, match.index).split("\n").length,
    language: match[1] ?? "",
    title: /title="([^"]+)"/.exec(match[2] ?? "")?.[1] ?? null,
    text: match[3] ?? "",
  }));
}

/** The files that the blocks of a page are, by path. */
export function filesOf(page: string): ReadonlyMap<string, string> {
  return new Map(
    blocksOf(page).flatMap(({ title, text }): [string, string][] =>
      title === null ? [] : [[title, text]],
    ),
  );
}
