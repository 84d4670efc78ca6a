import type { CommandContext, Result } from "./command.ts";
import { flag, number, text } from "./inputs.ts";
import { formatTable } from "./table.ts";

/** The options of every list. */
export const pageInputs = {
  limit: number("-n, --limit <count>", "How many to show. Default 50.", {
    integer: true,
    min: 1,
    max: 1000,
  }),
  cursor: text("--cursor <cursor>", "Goes on where an earlier page ended."),
  allPages: flag("--all-pages", "Shows everything."),
} as const;

interface PageValues {
  readonly limit?: number;
  readonly cursor?: string;
  readonly allPages: boolean;
}

interface Page<T> {
  readonly items: readonly T[];
  readonly cursor: string | null;
}

const DEFAULT_LIMIT = 50;
const BULK_LIMIT = 1000;

type Fetch<T> = (query: { readonly limit: number; readonly cursor?: string }) => Promise<Page<T>>;

/** Every item of a list, fetched page by page. */
export async function allItems<T>(fetch: Fetch<T>): Promise<T[]> {
  const items: T[] = [];
  let page = await fetch({ limit: BULK_LIMIT });
  items.push(...page.items);
  while (page.cursor !== null) {
    page = await fetch({ limit: BULK_LIMIT, cursor: page.cursor });
    items.push(...page.items);
  }
  return items;
}

/** One page, or all of them, as a table that says when there is more. */
export async function listResult<T>(
  context: CommandContext,
  values: PageValues,
  list: {
    readonly fetch: Fetch<T>;
    readonly headers: readonly string[];
    readonly row: (item: T, now: number) => readonly string[];
    /** Printed in place of an empty table. */
    readonly none: string;
    /** Printed below the table where these items ask for it. */
    readonly note?: (items: readonly T[], now: number) => string | null;
  },
): Promise<Result> {
  const page: Page<T> = values.allPages
    ? { items: await allItems(list.fetch), cursor: null }
    : await list.fetch({
        limit: values.limit ?? DEFAULT_LIMIT,
        ...(values.cursor === undefined ? {} : { cursor: values.cursor }),
      });
  return {
    json: page,
    text: () => {
      if (page.items.length === 0) return list.none;
      const now = Date.now();
      const table = formatTable(
        list.headers,
        page.items.map((item) => list.row(item, now)),
        context.style,
      );
      const notes = [
        list.note?.(page.items, now) ?? null,
        page.cursor === null ? null : `There is more: --cursor ${page.cursor}, or --all-pages.`,
      ].flatMap((note) => (note === null ? [] : [context.style("dim", note)]));
      return [table, ...notes].join("\n");
    },
  };
}
