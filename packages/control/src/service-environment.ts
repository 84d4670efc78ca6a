import { existsSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  SECRETS_DIRECTORY_VARIABLE,
  SERVICE_CONFIG_VARIABLE,
  type Secret,
  type ServiceConfig,
  type ServingSettings,
} from "@millrace/core";
import type { Workspace } from "./workspace.ts";

export interface ServiceIdentity {
  readonly deployment: { readonly id: string; readonly name: string };
  readonly snapshot: { readonly id: string; readonly name: string | null };
  readonly revision: string;
  readonly serving: ServingSettings;
  readonly authKeyHash: string | null;
}

/** The configuration of a service on this machine, which records its runs in this store. */
export function serviceVariables(
  { loaded, project }: Workspace,
  identity: ServiceIdentity,
): Readonly<Record<string, string>> {
  const { authKey: _key, generateAuthKey: _generate, ...serving } = identity.serving;
  const config: ServiceConfig = {
    deployment: { ...identity.deployment, project: project.name, projectId: project.id },
    snapshot: identity.snapshot,
    revision: identity.revision,
    serving,
    authKeyHash: identity.authKeyHash,
    store: {
      kind: "sqlite",
      file: loaded.storeFile,
      spoolDirectory: join(loaded.home, "spool", identity.deployment.id),
    },
  };
  return { NODE_ENV: "production", [SERVICE_CONFIG_VARIABLE]: JSON.stringify(config) };
}

/** Secrets as files that only this user can read, in memory where the system offers that. */
export async function secretFolder(secrets: Readonly<Record<string, Secret>>): Promise<{
  readonly variables: Readonly<Record<string, string>>;
  readonly release: () => Promise<void>;
}> {
  if (Object.keys(secrets).length === 0) return { variables: {}, release: async () => undefined };
  const directory = await mkdtemp(
    join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "millrace-"),
  );
  await chmod(directory, 0o700);
  for (const [name, secret] of Object.entries(secrets)) {
    await writeFile(join(directory, name), secret.reveal(), { mode: 0o600 });
  }
  return {
    variables: { [SECRETS_DIRECTORY_VARIABLE]: directory },
    release: () => rm(directory, { recursive: true, force: true }),
  };
}
