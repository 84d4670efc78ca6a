import type { StoreOptions } from "./index.ts";
import type { Store } from "./store.ts";

export async function open(_options: StoreOptions): Promise<Store> {
  throw new Error("being written");
}
