import { MillraceError } from "@millrace/core";
import type { Page, PageQuery } from "./store.ts";

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1000;

/** @throws MillraceError `LIMIT_INVALID` */
export function limitOf(query: PageQuery): number {
  const limit = query.limit ?? DEFAULT_LIMIT;
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_LIMIT) return limit;
  throw new MillraceError({
    class: "usage",
    code: "LIMIT_INVALID",
    message: `The limit of a page is ${limit}.`,
    action: `Give a whole number from 1 to ${MAX_LIMIT}.`,
  });
}

/** A position in a list that is sorted by time and then by id, both descending. */
export interface Position {
  readonly time: number;
  readonly id: string;
}

/** The page of a list that was read with one row more than the limit. */
export function pageOf<Row, T>(
  list: string,
  rows: readonly Row[],
  limit: number,
  positionOf: (row: Row) => Position,
  itemOf: (row: Row) => T,
): Page<T> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const more = rows.length > limit && last !== undefined;
  return { items: shown.map(itemOf), cursor: more ? encodeCursor(list, positionOf(last)) : null };
}

function encodeCursor(list: string, { time, id }: Position): string {
  return Buffer.from(JSON.stringify([list, time, id])).toString("base64url");
}

/**
 * The position that a cursor of this list stands for; null for the first page.
 * @throws MillraceError `CURSOR_INVALID`
 */
export function positionOf(list: string, cursor: string | undefined): Position | null {
  if (cursor === undefined) return null;
  const parts = decode(cursor);
  if (Array.isArray(parts) && parts.length === 3 && parts[0] === list) {
    const [, time, id]: unknown[] = parts;
    if (Number.isSafeInteger(time) && typeof time === "number" && typeof id === "string")
      return { time, id };
  }
  throw new MillraceError({
    class: "usage",
    code: "CURSOR_INVALID",
    message: `"${cursor.slice(0, 40)}" is no cursor of a list of ${list}.`,
    action: "Use the cursor that the page before gave, unchanged, or leave it out to begin anew.",
  });
}

function decode(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"));
  } catch {
    return null;
  }
}
