import type { Kysely } from "kysely";
import type { Access } from "../access.ts";
import type { Database } from "../database.ts";
import type { Store } from "../store.ts";

export function projectRepository({ now, newId, read, write }: Access): Store["projects"] {
  return {
    // Looked for first: a standby, which takes no insert, is good enough for who only reads.
    ensure: async (name) =>
      (await read((db) => select(db, name).executeTakeFirst())) ??
      (await write(async (transaction) => {
        await transaction
          .insertInto("projects")
          .values({ id: newId(), name, activeStack: null, createdAt: now() })
          .onConflict((conflict) => conflict.column("name").doNothing())
          .execute();
        return select(transaction, name).executeTakeFirstOrThrow();
      })),
  };
}

function select(db: Kysely<Database>, name: string) {
  return db.selectFrom("projects").select(["id", "name", "createdAt"]).where("name", "=", name);
}
