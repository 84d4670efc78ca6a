import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Secret } from "@millrace/core";
import { makePrivateFolder, ownFolderIn, type Places } from "./places.ts";

/**
 * Folders in which a worker's secrets may lie while it starts, best first: in memory where the system has such a place,
 * else beside the deployment's state. Each deployment has one folder of its own there, so that what a crash left behind
 * is found and removed.
 */
function candidates(places: Places): string[] {
  const runtime = process.env["XDG_RUNTIME_DIR"];
  return [
    ...(process.platform === "linux" ? [join(ownFolderIn("/dev/shm"), places.name)] : []),
    ...(runtime === undefined ? [] : [join(runtime, "millrace", places.name)]),
    join(places.folder, "secrets"),
  ];
}

/** Writes one file of mode 0600 per secret and returns their folder. */
export function writeSecretFiles(
  places: Places,
  replica: string,
  secrets: Readonly<Record<string, Secret>>,
): string {
  const folder = join(usableFolder(places), replica);
  mkdirSync(folder, { mode: 0o700 });
  for (const [name, secret] of Object.entries(secrets)) {
    writeFileSync(join(folder, name), secret.reveal(), { mode: 0o600, flag: "wx" });
  }
  return folder;
}

function usableFolder(places: Places): string {
  let failure: unknown;
  for (const folder of candidates(places)) {
    try {
      makePrivateFolder(join(folder, ".."));
      makePrivateFolder(folder);
      return folder;
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

/** Removes the files of one worker. */
export function removeSecretFiles(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}

/** Removes whatever earlier workers of the deployment left behind. */
export function removeAllSecretFiles(places: Places): void {
  for (const folder of candidates(places)) rmSync(folder, { recursive: true, force: true });
}
