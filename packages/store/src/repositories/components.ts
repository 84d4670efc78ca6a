import { type Component, MillraceError } from "@millrace/core";
import type { Selectable } from "kysely";
import type { Access } from "../access.ts";
import type { Database } from "../database.ts";
import { fromJsonColumn, toJsonColumn } from "../json-column.ts";
import type { Store } from "../store.ts";

export function componentRepository({ now, newId, read, write }: Access): Store["components"] {
  return {
    create: ({ projectId, type, name, flavor, settings }) =>
      write(async (transaction) => {
        const row = await transaction
          .insertInto("components")
          .values({
            id: newId(),
            projectId,
            type,
            name,
            flavor,
            settings: toJsonColumn(settings),
            createdAt: now(),
          })
          .onConflict((conflict) => conflict.columns(["projectId", "type", "name"]).doNothing())
          .returningAll()
          .executeTakeFirst();
        if (row === undefined) throw componentExists(type, name);
        return toComponent(row);
      }),
    get: (projectId, type, name) =>
      read(async (db) => {
        const row = await db
          .selectFrom("components")
          .selectAll()
          .where("projectId", "=", projectId)
          .where("type", "=", type)
          .where("name", "=", name)
          .executeTakeFirst();
        return row === undefined ? null : toComponent(row);
      }),
    list: (projectId, type) =>
      read(async (db) => {
        const rows = await db
          .selectFrom("components")
          .selectAll()
          .where("projectId", "=", projectId)
          .where("type", "=", type)
          .orderBy("name")
          .execute();
        return rows.map(toComponent);
      }),
    delete: (projectId, type, name) =>
      write(async (transaction) => {
        const { numDeletedRows } = await transaction
          .deleteFrom("components")
          .where("projectId", "=", projectId)
          .where("type", "=", type)
          .where("name", "=", name)
          .executeTakeFirst();
        return numDeletedRows > 0n;
      }),
  };
}

function toComponent(row: Selectable<Database["components"]>): Component {
  return { ...row, settings: fromJsonColumn(row.settings) };
}

function componentExists(type: Component["type"], name: string): MillraceError {
  return new MillraceError({
    class: "conflict",
    code: "COMPONENT_EXISTS",
    message: `There is a ${type} named "${name}" already.`,
    action: "Take another name, or delete that one first.",
  });
}
