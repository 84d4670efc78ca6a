import type { Access } from "../access.ts";
import type { Store } from "../store.ts";

export function pipelineRepository({ now, newId, read, write }: Access): Store["pipelines"] {
  return {
    ensure: (projectId, name) =>
      write(async (transaction) => {
        await transaction
          .insertInto("pipelines")
          .values({ id: newId(), projectId, name, createdAt: now() })
          .onConflict((conflict) => conflict.columns(["projectId", "name"]).doNothing())
          .execute();
        return transaction
          .selectFrom("pipelines")
          .selectAll()
          .where("projectId", "=", projectId)
          .where("name", "=", name)
          .executeTakeFirstOrThrow();
      }),
    list: (projectId) =>
      read((db) =>
        db
          .selectFrom("pipelines")
          .selectAll()
          .where("projectId", "=", projectId)
          .orderBy("name")
          .execute(),
      ),
  };
}
