export type {
  DeploymentFilter,
  DeploymentSummary,
  Page,
  PageQuery,
  RunFilter,
  RunImport,
  RunSummary,
} from "@millrace/store";
export type * from "./client.ts";

import type { Client, ConnectOptions } from "./client.ts";

/**
 * Opens the client, which does everything that the command does. Close it when done.
 * @throws MillraceError when the configuration or the store cannot be used.
 */
export async function connect(options: ConnectOptions = {}): Promise<Client> {
  const { connect: open } = await import("./connect.ts");
  return open(options);
}
