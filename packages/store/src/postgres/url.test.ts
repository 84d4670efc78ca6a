import { inspect } from "node:util";
import { expect, test } from "vitest";
import { openStore } from "../index.ts";
import { checkedPostgresUrl, isPostgresHere, placeOfPostgres } from "./url.ts";

test.each([
  "postgres:ann:geheim77@127.0.0.1:1/db",
  "postgres:/ann:geheim77@127.0.0.1:1/db",
  "postgres:///ann:geheim77@127.0.0.1:1/db",
  "postgres://ann:77/geheim77@127.0.0.1:1/db",
  "postgres://ann:77?geheim77@127.0.0.1:1/db",
  "postgres://ann:77#geheim77@127.0.0.1:1/db",
  "postgres://ann:77/a#geheim77@127.0.0.1:1/db",
  "postgres://ann@geheim77@127.0.0.1:1/db",
  "postgres://ann:geheim77@127.0.0.1:99999/db",
])("%s is refused, and nothing of its password is shown", async (url) => {
  expect(placeOfPostgres(url)).toBe("postgres://…");
  const error: unknown = await openStore({ url }).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: "STORE_URL", class: "usage" });
  expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/geheim|ann|77/);
});

test.each([
  ["postgres://ann:p@ss@host/db", "postgres://ann@host/db"],
  ["postgres://ann%40azure:geheim@host/db", "postgres://ann%40azure@host/db"],
  ["postgresql://host/a%40b?user=ann@azure&password=geheim", "postgres://host/a%40b"],
  ["postgres:///db?host=/var/run/postgresql", "postgres:///db"],
])("%s is taken, and shown without its password", (url, place) => {
  expect(checkedPostgresUrl(url)).toBe(url);
  expect(placeOfPostgres(url)).toBe(place);
});

test.each([
  "postgres://ann:pw@127.0.0.1:5432/db",
  "postgres://ann:pw@127.1.2.3/db",
  "postgresql://localhost/db",
  "postgres://LOCALHOST./db",
  "postgres://db.localhost/db",
  "postgres://[::1]:5432/db",
  "postgres:///db",
  "postgres:///db?host=/var/run/postgresql",
  "postgres://%2Fvar%2Frun%2Fpostgresql/db",
  "postgres://db.example/db?host=127.0.0.1",
])("%s is a server that only this machine can reach under that address", (url) => {
  expect(isPostgresHere(url)).toBe(true);
});

test.each([
  "postgres://db.example/db",
  "postgres://10.0.0.5:5432/db",
  "postgres://127.0.0.1.example/db",
  "postgres://mylocalhost/db",
  "postgres://[fd00::1]/db",
  "postgres://host.docker.internal/db",
  "postgres:///db?host=db.example",
  "no url",
])("%s is not", (url) => {
  expect(isPostgresHere(url)).toBe(false);
});
