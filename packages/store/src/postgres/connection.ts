import { MillraceError } from "@millrace/core";
import { type ClientConfig, types } from "pg";

/** PostgreSQL's `int8`, which pg gives as text. Ours are times, counts and tokens: all below 2^53. */
const INT8 = 20;

/**
 * Settings of a connection to the store.
 * @throws MillraceError `STORE_URL`
 */
export function connectionSettings(url: string, connectTimeoutMs: number): ClientConfig {
  return {
    connectionString: verifiedTls(checked(url)),
    application_name: "millrace",
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    types: {
      getTypeParser: (id, format) => (id === INT8 ? Number : types.getTypeParser(id, format)),
    },
  };
}

function checked(url: string): string {
  if (URL.canParse(url)) return url;
  throw new MillraceError({
    class: "usage",
    code: "STORE_URL",
    // It may hold a password, and where it is wrong nobody can tell which part that is.
    message: "The store's URL (postgres:…) is not well-formed.",
    action:
      "Write postgres://user:password@host:5432/database, with %-codes for special characters in the password: / is %2F, # is %23, @ is %40.",
  });
}

/** These three mean `verify-full` to pg, which prints a warning for each; with `uselibpqcompat` they mean what libpq says. */
function verifiedTls(url: string): string {
  const parsed = new URL(url);
  const { searchParams } = parsed;
  if (searchParams.get("uselibpqcompat") === "true") return url;
  if (!/^(?:prefer|require|verify-ca)$/.test(searchParams.get("sslmode") ?? "")) return url;
  searchParams.set("sslmode", "verify-full");
  return parsed.href;
}
