import type { Access } from "../access.ts";
import type { Store } from "../store.ts";

export function userRepository({ now, newId, write }: Access): Store["users"] {
  return {
    ensure: (name) =>
      write(async (transaction) => {
        await transaction
          .insertInto("users")
          .values({ id: newId(), name, createdAt: now() })
          .onConflict((conflict) => conflict.column("name").doNothing())
          .execute();
        return transaction
          .selectFrom("users")
          .selectAll()
          .where("name", "=", name)
          .executeTakeFirstOrThrow();
      }),
  };
}
