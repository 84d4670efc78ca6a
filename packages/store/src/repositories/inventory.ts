import type { Access } from "../access.ts";
import type { Store } from "../store.ts";

export function inventoryRepository({ now, read, guarded }: Access): Store["inventory"] {
  return {
    list: (deploymentId) =>
      read((db) =>
        db
          .selectFrom("inventory")
          .select(["deploymentId", "kind", "name", "state", "platformId", "updatedAt"])
          .where("deploymentId", "=", deploymentId)
          .orderBy("position")
          .execute(),
      ),
    put: (deploymentId, { kind, name, state, platformId }, lease) =>
      guarded(lease, async (transaction) => {
        const change = { state, platformId, updatedAt: now() };
        await transaction
          .insertInto("inventory")
          .values((eb) => ({
            deploymentId,
            kind,
            name,
            ...change,
            position: eb
              .selectFrom("inventory")
              .where("deploymentId", "=", deploymentId)
              .select((one) =>
                one(one.fn.coalesce(one.fn.max("position"), one.lit(0)), "+", 1).as("next"),
              ),
          }))
          .onConflict((conflict) =>
            conflict.columns(["deploymentId", "kind", "name"]).doUpdateSet(change),
          )
          .execute();
      }),
    remove: (deploymentId, { kind, name }, lease) =>
      guarded(lease, async (transaction) => {
        await transaction
          .deleteFrom("inventory")
          .where("deploymentId", "=", deploymentId)
          .where("kind", "=", kind)
          .where("name", "=", name)
          .execute();
      }),
  };
}
