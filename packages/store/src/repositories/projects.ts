import type { Access } from "../access.ts";
import type { Store } from "../store.ts";

export function projectRepository({ now, newId, write }: Access): Store["projects"] {
  return {
    ensure: (name) =>
      write(async (transaction) => {
        await transaction
          .insertInto("projects")
          .values({ id: newId(), name, activeStack: null, createdAt: now() })
          .onConflict((conflict) => conflict.column("name").doNothing())
          .execute();
        return transaction
          .selectFrom("projects")
          .select(["id", "name", "createdAt"])
          .where("name", "=", name)
          .executeTakeFirstOrThrow();
      }),
  };
}
