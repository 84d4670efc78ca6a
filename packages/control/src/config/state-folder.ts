import { existsSync, readdirSync, statSync } from "node:fs";
import { chmod, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { MillraceError, makeFolder, messageOf } from "@millrace/core";
import type { LoadedConfig } from "./load.ts";

/**
 * Makes the state folder: for its owner alone, and ignored by git.
 * @throws MillraceError `HOME_UNUSABLE`
 */
export async function ensureStateFolder(home: string): Promise<void> {
  try {
    if (!makeFolder(home)) return;
    await chmod(home, 0o700);
    await writeFile(join(home, ".gitignore"), "*\n", { flag: "wx" }).catch(ignoreExisting);
  } catch (cause) {
    throw new MillraceError({
      class: "usage",
      code: "HOME_UNUSABLE",
      message: `The state folder ${home} cannot be made: ${messageOf(cause)}.`,
      action: "Choose another one with MILLRACE_HOME or --home, or correct its permissions.",
      cause,
    });
  }
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== "EEXIST") throw error;
}

/**
 * Snapshots are made after the store: where they are and it is not, it was lost, and with it what is known of the deployments.
 * An empty store in its place would hide that.
 * @throws MillraceError `STORE_LOST`
 */
export function checkStoreIsThere({ artifacts, store }: LoadedConfig): void {
  if (store.kind !== "sqlite" || dirname(store.file) !== dirname(artifacts)) return;
  const size = statSync(store.file, { throwIfNoEntry: false })?.size ?? 0;
  if (size > 0 || !existsSync(artifacts) || readdirSync(artifacts).length === 0) return;
  throw new MillraceError({
    class: "usage",
    code: "STORE_LOST",
    message: `The records of ${dirname(artifacts)} are lost: it has snapshots, and ${store.file} is ${existsSync(store.file) ? "empty" : "missing"}.`,
    action: `Restore that file from a backup. Or move ${dirname(artifacts)} away to begin anew: services that run go on, and nobody knows them any more.`,
  });
}
