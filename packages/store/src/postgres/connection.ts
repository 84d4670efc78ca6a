import { type ClientConfig, types } from "pg";
import { checkedPostgresUrl } from "./url.ts";

/** PostgreSQL's `int8`, which pg gives as text. Ours are times, counts and tokens: all below 2^53. */
const INT8 = 20;

/**
 * Settings of a connection to the store.
 * @throws MillraceError `STORE_URL`
 */
export function connectionSettings(url: string, connectTimeoutMs: number): ClientConfig {
  return {
    connectionString: verifiedTls(checkedPostgresUrl(url)),
    application_name: "millrace",
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    types: {
      getTypeParser: (id, format) => (id === INT8 ? Number : types.getTypeParser(id, format)),
    },
  };
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
