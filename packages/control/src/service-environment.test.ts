import { Secret } from "@millrace/core";
import { expect, test } from "vitest";
import type { StorePlace } from "./config/load.ts";
import { storeInReach } from "./service-environment.ts";

const postgres = (host: string): StorePlace => ({
  kind: "postgres",
  url: new Secret(`postgres://ann:pw@${host}:5432/db`),
});
const file: StorePlace = { kind: "sqlite", file: "/data/millrace.db" };

test.each([file, postgres("127.0.0.1"), postgres("db.example")])(
  "a service on this machine records in the store, whatever it is",
  (store) => {
    expect(storeInReach(store, true)).toBe(store);
  },
);

test("a service elsewhere records in a server that it can reach, and in no file or server that only this machine has", () => {
  const server = postgres("db.example");
  expect(storeInReach(server, false)).toBe(server);
  expect(storeInReach(file, false)).toBeNull();
  expect(storeInReach(postgres("127.0.0.1"), false)).toBeNull();
});
