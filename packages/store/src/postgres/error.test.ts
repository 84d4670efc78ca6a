import { expect, it } from "vitest";
import { translatePostgresError } from "./error.ts";

it("a server that takes nobody in from an address is told apart from one that lacks TLS", () => {
  const said =
    'no pg_hba.conf entry for host "192.0.2.2", user "ann", database "db", no encryption';
  const thrown = Object.assign(new Error(said), { code: "28000" });
  expect(translatePostgresError(thrown, "postgres://ann@db.example/db")).toMatchObject({
    code: "STORE_TLS",
    class: "usage",
    message: expect.stringContaining("192.0.2.2"),
    action: expect.stringContaining("pg_hba.conf"),
  });
});
