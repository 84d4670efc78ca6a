import type { Journal } from "@millrace/core";
import type { Lease, Store } from "@millrace/store";

/** The deployer's journal, kept as the deployment's inventory. Every write is refused once the lease is lost. */
export function makeJournal(store: Store, deploymentId: string, lease: Lease): Journal {
  return {
    intend: ({ kind, name }) =>
      store.inventory.put(deploymentId, { kind, name, state: "intended", platformId: null }, lease),
    present: ({ kind, name }, platformId) =>
      store.inventory.put(
        deploymentId,
        { kind, name, state: "present", platformId: platformId ?? null },
        lease,
      ),
    gone: (key) => store.inventory.remove(deploymentId, key, lease),
  };
}
