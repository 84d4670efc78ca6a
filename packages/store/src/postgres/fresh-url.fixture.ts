import { randomUUID } from "node:crypto";
import { Client } from "pg";
import { inject } from "vitest";

declare module "vitest" {
  interface ProvidedContext {
    postgresUrl: string;
  }
}

/** URL of a schema of its own, which is empty. */
export async function freshUrl(): Promise<string> {
  const schema = `s_${randomUUID().replaceAll("-", "")}`;
  await asSuperuser((client) => client.query(`create schema ${schema}`));
  const url = new URL(inject("postgresUrl"));
  url.searchParams.set("options", `-csearch_path=${schema}`);
  return url.href;
}

/** Does something as the user who may do everything. */
export async function asSuperuser<T>(
  work: (client: Client) => Promise<T>,
  url = inject("postgresUrl"),
): Promise<T> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
