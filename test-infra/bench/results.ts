/** One line of the benchmark's table. */
export interface Result {
  /** Stable key, for programs: `throughput.async`. */
  readonly key: string;
  readonly value: number;
  readonly unit: "ratio" | "seconds" | "requests" | "bytes" | "blobs";
  /** What the value must not pass, and on which side. Without one it is for information. */
  readonly budget?: { readonly atLeast: number } | { readonly atMost: number };
  /** The absolute figures behind the value, for people. */
  readonly detail: string;
}

export function meetsBudget({ value, budget }: Result): boolean {
  if (budget === undefined) return true;
  return "atLeast" in budget ? value >= budget.atLeast : value <= budget.atMost;
}

const SHORT_UNIT = { ratio: "x", seconds: " s", requests: "", bytes: " B", blobs: "" } as const;

export function formatTable(results: readonly Result[]): string {
  const rows = results.map((result) => {
    const { key, value, unit, budget, detail } = result;
    const measured = `${round(value)}${SHORT_UNIT[unit]}`;
    if (budget === undefined) return [key, measured, "", "", detail];
    const bound = "atLeast" in budget ? `>= ${budget.atLeast}` : `<= ${budget.atMost}`;
    return [key, measured, bound, meetsBudget(result) ? "met" : "NOT MET", detail];
  });
  const table = [["key", "value", "budget", "", "measured"], ...rows];
  const widths = [0, 1, 2, 3].map((column) =>
    Math.max(...table.map((row) => (row[column] ?? "").length)),
  );
  return table
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Three significant digits. */
export function round(value: number): number {
  return Number(value.toPrecision(3));
}
