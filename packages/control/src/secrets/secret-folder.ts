import { existsSync, rmSync } from "node:fs";
import { chmod, lstat, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { SECRETS_DIRECTORY_VARIABLE, type Secret } from "@millrace/core";
import { z } from "zod";
import { atExit } from "../at-exit.ts";
import { isDead, thisProcess } from "../lifecycle/process-identity.ts";

const PREFIX = "millrace-secrets-";
/** Names the process that made the folder. The runtime takes no file for a secret whose name begins with a dot. */
const OWNER_FILE = ".owner";

const ownerSchema = z.strictObject({
  host: z.string(),
  pid: z.int(),
  pidSpace: z.string().optional(),
  processStart: z.string(),
  purpose: z.string(),
  since: z.number(),
});

export interface SecretFolder {
  readonly variables: Readonly<Record<string, string>>;
  /** Called as soon as the process that they are for has read them. */
  readonly release: () => Promise<void>;
}

/**
 * Secrets as files that only this user can read, in memory where the system offers that. Folders of processes that were
 * killed before they could remove them go as well.
 */
export async function secretFolder(
  secrets: Readonly<Record<string, Secret>>,
  place = existsSync("/dev/shm") ? "/dev/shm" : tmpdir(),
): Promise<SecretFolder> {
  await sweep(place);
  if (Object.keys(secrets).length === 0) return { variables: {}, release: async () => undefined };
  const directory = await mkdtemp(join(place, PREFIX));
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  const forget = atExit(remove);
  await chmod(directory, 0o700);
  const owner = await thisProcess("handing over secrets");
  await writeFile(join(directory, OWNER_FILE), JSON.stringify(owner), { mode: 0o600 });
  for (const [name, secret] of Object.entries(secrets)) {
    await writeFile(join(directory, name), secret.reveal(), { mode: 0o600 });
  }
  return {
    variables: { [SECRETS_DIRECTORY_VARIABLE]: directory },
    async release() {
      remove();
      forget();
    },
  };
}

async function sweep(place: string): Promise<void> {
  for (const name of await readdir(place)) {
    const directory = join(place, name);
    if (name.startsWith(PREFIX) && (await isLeftBehind(directory)))
      await rm(directory, { recursive: true, force: true });
  }
}

/** Never of another user's folder: in a place that all share, that one could lead elsewhere. */
async function isLeftBehind(directory: string): Promise<boolean> {
  try {
    if ((await lstat(directory)).uid !== userInfo().uid) return false;
    const owner = JSON.parse(await readFile(join(directory, OWNER_FILE), "utf8"));
    return await isDead(ownerSchema.parse(owner));
  } catch {
    // Being made or removed at this moment, or none of ours.
    return false;
  }
}
