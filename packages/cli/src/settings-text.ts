import type { JsonValue } from "@millrace/core";
import { formatValue } from "./plan-text.ts";
import type { Style } from "./style.ts";
import { formatTable } from "./table.ts";

interface Setting {
  readonly name: string;
  readonly value: JsonValue;
  readonly origin: string;
}

/** Effective settings, each with the place that its value comes from. */
export function formatSettings(settings: readonly Setting[], style: Style): string {
  const rows = settings.map(({ name, value, origin }) => [name, formatValue(value), origin]);
  return formatTable(["NAME", "VALUE", "FROM"], rows, style);
}

/** Settings as somebody gave them, each with the name that it has in lists of settings. */
export function settingFields(prefix: string, settings: object): [name: string, value: string][] {
  return Object.entries(settings).map(([name, value]) => [`${prefix}.${name}`, formatValue(value)]);
}
