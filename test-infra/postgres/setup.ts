import type { TestProject } from "vitest/node";
import { providePostgres } from "./binaries.ts";
import { startCluster } from "./cluster.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** URL of a PostgreSQL server for this run of tests; its user may do everything. */
    postgresUrl: string;
  }
}

/** Gives the tests a server, and takes it away in the end. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const binaries = providePostgres();
  if ("missing" in binaries) throw new Error(binaries.missing);
  const cluster = await startCluster(binaries.folder);
  project.provide("postgresUrl", cluster.url);
  return () => cluster.stop();
}
