export {
  checkedPostgresUrl,
  filesOfPostgres,
  isPostgresHere,
  isPostgresUrl,
  placeOfPostgres,
} from "./postgres/url.ts";
export * from "./recorder/import.ts";
export * from "./recorder/recorder.ts";
export type * from "./store.ts";

import type { Store } from "./store.ts";

export interface StoreOptions {
  /** `file:` URL or path of an SQLite file, whose folder is made when it is missing; or `postgres:` URL of a database. */
  readonly url: string;
  /** Milliseconds since the epoch. Default: the system's clock. */
  readonly now?: () => number;
  /** How long a write waits for other processes before `STORE_LOCKED`, in milliseconds. Default 10,000. */
  readonly lockTimeoutMs?: number;
}

/**
 * Opens the store, and makes or migrates it where needed. Several processes may do so at once.
 * @throws MillraceError `STORE_NEWER`, `STORE_CORRUPT`, `STORE_LOCKED`, `STORE_FULL`, `STORE_READ_ONLY`, `STORE_URL`,
 * `STORE_UNREACHABLE`, `STORE_FOREIGN`; on PostgreSQL also `STORE_LOGIN`, `STORE_TLS`, `STORE_MISSING`, `STORE_DENIED`,
 * `STORE_TOO_OLD`, `STORE_ENCODING`, `STORE_LIMIT`
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { open } = await import("./open.ts");
  return open(options);
}
