import { MillraceError } from "@millrace/core";

/** JSON is stored as text, in every dialect, and read and written only here. */
export function toJsonColumn(value: unknown): string {
  return JSON.stringify(value);
}

/** @throws MillraceError `STORE_CORRUPT` when the text is not JSON. */
export function fromJsonColumn<T>(text: string): T {
  try {
    const value: T = JSON.parse(text);
    return value;
  } catch (cause) {
    throw new MillraceError({
      class: "internal",
      code: "STORE_CORRUPT",
      message: `The store holds a value that is not JSON: ${text.slice(0, 60)}`,
      action: "Something other than Millrace changed the store: restore it from a backup.",
      cause,
    });
  }
}

export function toNullableJsonColumn(value: unknown): string | null {
  return value === null ? null : toJsonColumn(value);
}

export function fromNullableJsonColumn<T>(text: string | null): T | null {
  return text === null ? null : fromJsonColumn<T>(text);
}
