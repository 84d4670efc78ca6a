import type { Client, ConnectOptions } from "@millrace/control";

/**
 * Put together at run time, so that bundlers do not follow it: they would read all of control, and list its native
 * packages, for the sake of pipelines that never connect.
 */
const CONTROL = ["@millrace", "control"].join("/");

/**
 * Opens the client that does everything the command does: snapshots, plans, deployments, runs. Close it when done.
 * @throws MillraceError when the configuration or the store cannot be used.
 */
export async function connect(options: ConnectOptions = {}): Promise<Client> {
  const control: typeof import("@millrace/control") = await import(CONTROL);
  return control.connect(options);
}
