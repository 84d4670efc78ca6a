import type { Client, ConnectOptions } from "@millrace/control";

/**
 * Opens the client that does everything the command does: snapshots, plans, deployments, runs. Close it when done.
 * @throws MillraceError when the configuration or the store cannot be used.
 */
export async function connect(options: ConnectOptions = {}): Promise<Client> {
  // Loaded when it is called, so that a module that only defines a pipeline stays small when it is bundled.
  const control = await import("@millrace/control");
  return control.connect({ installation: import.meta.filename, ...options });
}
