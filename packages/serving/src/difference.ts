/**
 * The first place where two JSON values differ, in words; undefined when they are equal. Members that are undefined
 * count as missing.
 */
export function firstDifference(
  wanted: unknown,
  found: unknown,
  where: string,
): string | undefined {
  if (Object.is(wanted, found)) return undefined;
  if (isObject(wanted) && isObject(found) && Array.isArray(wanted) === Array.isArray(found)) {
    for (const key of new Set([...Object.keys(wanted), ...Object.keys(found)])) {
      const place = Array.isArray(wanted) ? `${where}[${key}]` : `${where}.${key}`;
      const difference = firstDifference(wanted[key], found[key], place);
      if (difference !== undefined) return difference;
    }
    return undefined;
  }
  return `${where} was ${show(wanted)} and is ${show(found)}`;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function show(value: unknown): string {
  const text = value === undefined ? "missing" : JSON.stringify(value);
  return text.length > 100 ? `${text.slice(0, 99)}…` : text;
}
