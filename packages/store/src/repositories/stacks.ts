import { MillraceError } from "@millrace/core";
import type { Access } from "../access.ts";
import type { Store } from "../store.ts";

export function stackRepository({ now, newId, read, write }: Access): Store["stacks"] {
  return {
    create: ({ projectId, name, deployer }) =>
      write(async (transaction) => {
        const row = await transaction
          .insertInto("stacks")
          .values({ id: newId(), projectId, name, deployer, createdAt: now() })
          .onConflict((conflict) => conflict.columns(["projectId", "name"]).doNothing())
          .returningAll()
          .executeTakeFirst();
        if (row === undefined) throw stackExists(name);
        return row;
      }),
    get: (projectId, name) =>
      read(async (db) => {
        const row = await db
          .selectFrom("stacks")
          .selectAll()
          .where("projectId", "=", projectId)
          .where("name", "=", name)
          .executeTakeFirst();
        return row ?? null;
      }),
    list: (projectId) =>
      read((db) =>
        db
          .selectFrom("stacks")
          .selectAll()
          .where("projectId", "=", projectId)
          .orderBy("name")
          .execute(),
      ),
    delete: (projectId, name) =>
      write(async (transaction) => {
        const { numDeletedRows } = await transaction
          .deleteFrom("stacks")
          .where("projectId", "=", projectId)
          .where("name", "=", name)
          .executeTakeFirst();
        return numDeletedRows > 0n;
      }),
    active: (projectId) =>
      read(async (db) => {
        const row = await db
          .selectFrom("projects")
          .select("activeStack")
          .where("id", "=", projectId)
          .executeTakeFirst();
        return row?.activeStack ?? null;
      }),
    setActive: (projectId, name) =>
      write(async (transaction) => {
        await transaction
          .updateTable("projects")
          .set({ activeStack: name })
          .where("id", "=", projectId)
          .execute();
      }),
  };
}

function stackExists(name: string): MillraceError {
  return new MillraceError({
    class: "conflict",
    code: "STACK_EXISTS",
    message: `There is a stack named "${name}" already.`,
    action: "Take another name, or change that one.",
  });
}
