import { expect, test } from "vitest";
import { isPostgresHere } from "./url.ts";

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
