import { Secret } from "@millrace/core";
import { expect, test } from "vitest";
import type { StorePlace } from "./config/load.ts";
import { storeInReach, storeNotes } from "./service-environment.ts";

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

test("a plan tells of a certificate that a service elsewhere does not have", () => {
  const store: StorePlace = {
    kind: "postgres",
    url: new Secret("postgres://ann:pw@db.example/db?sslmode=verify-full&sslrootcert=/etc/ca.crt"),
  };
  expect(storeNotes(store, false)).toEqual([expect.stringContaining("sslrootcert=/etc/ca.crt")]);
  expect(storeNotes(store, true)).toEqual([]);
  expect(storeNotes(postgres("db.example"), false)).toEqual([]);
});

test("a plan tells where the runs of a service are that does not reach the store", () => {
  expect(storeNotes(postgres("127.0.0.1"), false)).toEqual([
    expect.stringContaining("cannot reach the store at postgres://ann@127.0.0.1:5432/db"),
  ]);
  expect(storeNotes(file, false)).toEqual([
    expect.stringMatching(/cannot reach the store at \/data\/millrace\.db.*run import -/),
  ]);
  expect(storeNotes(file, true)).toEqual([]);
});
