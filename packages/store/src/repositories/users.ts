import type { Kysely } from "kysely";
import type { Access } from "../access.ts";
import type { Database } from "../database.ts";
import type { Store } from "../store.ts";

export function userRepository({ now, newId, read, write }: Access): Store["users"] {
  return {
    // Looked for first, as a project is.
    ensure: async (name) =>
      (await read((db) => select(db, name).executeTakeFirst())) ??
      (await write(async (transaction) => {
        await transaction
          .insertInto("users")
          .values({ id: newId(), name, createdAt: now() })
          .onConflict((conflict) => conflict.column("name").doNothing())
          .execute();
        return select(transaction, name).executeTakeFirstOrThrow();
      })),
  };
}

function select(db: Kysely<Database>, name: string) {
  return db.selectFrom("users").selectAll().where("name", "=", name);
}
