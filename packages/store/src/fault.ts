import { type ErrorClass, MillraceError } from "@millrace/core";

/** What may be wrong with a store, as its database tells it. */
export interface Fault {
  readonly class: ErrorClass;
  readonly code: string;
  /** Goes on after "The store … ". */
  readonly what: string;
  readonly action: string;
  readonly retryable?: boolean;
}

/** The same on every database. */
export const LOCKED: Fault = {
  class: "conflict",
  code: "STORE_LOCKED",
  what: "is locked by another process",
  action: "Wait for the other process, or end it if it hangs, and run the command again.",
  retryable: true,
};

/** @param place Of the store: a file, or a URL without its password. @param text What the database says. */
export function storeError(
  { class: errorClass, code, what, action, retryable }: Fault,
  place: string,
  text: string,
  cause: unknown,
): MillraceError {
  return new MillraceError({
    class: errorClass,
    code,
    message: `The store ${place} ${what} (${text}).`,
    action,
    retryable,
    details: { store: place },
    cause,
  });
}
