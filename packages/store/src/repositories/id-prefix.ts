import { MillraceError } from "@millrace/core";

const MIN_DIGITS = 4;
/** How many of several rows an error names. */
const NAMED = 5;

export interface IdRange {
  readonly from: string;
  /** Greater than every id that begins with `from`. */
  readonly to: string;
  readonly limit: number;
}

/**
 * The one row whose id begins with a prefix of at least four hexadecimal digits; null when there is none.
 * @throws MillraceError `DEPLOYMENT_AMBIGUOUS`, `SNAPSHOT_AMBIGUOUS` or `RUN_AMBIGUOUS`
 */
export async function onlyMatch<Row extends { readonly id: string; readonly name?: string | null }>(
  what: "deployment" | "snapshot" | "run",
  text: string,
  query: (range: IdRange) => Promise<readonly Row[]>,
): Promise<Row | null> {
  const prefix = prefixOf(what, text);
  if (prefix === null) return null;
  const rows = await query({ from: prefix, to: `${prefix}~`, limit: NAMED + 1 });
  if (rows.length <= 1) return rows[0] ?? null;
  throw new MillraceError({
    class: "usage",
    code: `${what.toUpperCase()}_AMBIGUOUS`,
    message: `The ids of several ${what}s begin with "${text}".`,
    action: `Give more digits. There ${rows.length > NAMED ? "are, among others," : "are"} ${rows.slice(0, NAMED).map(candidate).join(", ")}.`,
  });
}

function candidate({ id, name }: { readonly id: string; readonly name?: string | null }): string {
  return name ? `${id} (${name})` : id;
}

function prefixOf(what: "deployment" | "snapshot" | "run", text: string): string | null {
  if (what === "snapshot") {
    const digits = text.replace(/^sha256:/, "").toLowerCase();
    return new RegExp(`^[0-9a-f]{${MIN_DIGITS},64}$`).test(digits) ? `sha256:${digits}` : null;
  }
  return new RegExp(`^[0-9a-f]{${MIN_DIGITS}}[0-9a-f-]{0,32}$`, "i").test(text)
    ? text.toLowerCase()
    : null;
}
