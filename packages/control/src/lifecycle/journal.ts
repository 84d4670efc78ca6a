import type { Journal } from "@millrace/core";
import type { Lease, Store } from "@millrace/store";

/** The deployer's journal, kept as the deployment's inventory. Every write is refused once the lease is lost. */
export function makeJournal(
  { inventory }: Pick<Store, "inventory">,
  deploymentId: string,
  lease: Lease,
): Journal {
  return {
    async intend({ kind, name }) {
      const known = (await inventory.list(deploymentId)).find(
        (entry) => entry.kind === kind && entry.name === name,
      );
      // A resource that is there does not become doubtful because the deployer is about to make sure of it.
      const entry =
        known?.state === "present"
          ? known
          : { kind, name, state: "intended" as const, platformId: known?.platformId ?? null };
      await inventory.put(deploymentId, entry, lease);
    },
    present: ({ kind, name }, platformId) =>
      inventory.put(
        deploymentId,
        { kind, name, state: "present", platformId: platformId ?? null },
        lease,
      ),
    gone: (key) => inventory.remove(deploymentId, key, lease),
  };
}
