export * from "./recorder/recorder.ts";
export type * from "./store.ts";

import type { Store } from "./store.ts";

export interface StoreOptions {
  /** `file:` URL or path of an SQLite file. Its folder is made when it is missing. */
  readonly url: string;
  /** Milliseconds since the epoch. Default: the system's clock. */
  readonly now?: () => number;
  /** How long a write waits for other processes before `STORE_LOCKED`, in milliseconds. Default 10,000. */
  readonly lockTimeoutMs?: number;
}

/**
 * Opens the store, and makes or migrates it where needed. Several processes may do so at once.
 * @throws MillraceError `STORE_NEWER`, `STORE_CORRUPT`, `STORE_LOCKED`, `STORE_FULL`, `STORE_READ_ONLY`, `STORE_URL`,
 * `STORE_UNREACHABLE`
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { open } = await import("./open.ts");
  return open(options);
}
