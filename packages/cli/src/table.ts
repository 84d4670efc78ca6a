import stringWidth from "fast-string-width";
import type { Style } from "./style.ts";

/** Rows under bold headers, each column as wide as its widest cell. Cells may carry colours. */
export function formatTable(
  headers: readonly string[],
  rows: readonly (readonly string[])[],
  style: Style,
): string {
  const cells = rows.map((row) => row.map(oneLine));
  const widths = headers.map((header, column) =>
    Math.max(stringWidth(header), ...cells.map((row) => stringWidth(row[column] ?? ""))),
  );
  const head = headers.map((header) => style("bold", header));
  return [head, ...cells].map((row) => formatRow(row, widths)).join("\n");
}

/** Labels and values in two columns. A value of several lines is aligned under its first one. */
export function formatFields(
  fields: readonly (readonly [label: string, value: string])[],
  style: Style,
): string {
  const width = Math.max(0, ...fields.map(([label]) => stringWidth(label)));
  return fields
    .map(
      ([label, value]) =>
        `${style("dim", pad(label, width))}  ${value.replaceAll("\n", `\n${" ".repeat(width + 2)}`)}`,
    )
    .join("\n");
}

/** A title with the block below it, moved in. */
export function formatSection(title: string, body: string, style: Style): string {
  return `${style("bold", title)}\n${indent(body)}`;
}

export function indent(block: string): string {
  return block.replaceAll(/^(?=.)/gm, "  ");
}

function formatRow(cells: readonly string[], widths: readonly number[]): string {
  return cells
    .map((cell, column) => pad(cell, widths[column]))
    .join("  ")
    .trimEnd();
}

function pad(text: string, width: number | undefined): string {
  return text + " ".repeat(Math.max(0, (width ?? 0) - stringWidth(text)));
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, " ");
}
