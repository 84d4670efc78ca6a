import { rmdir } from "node:fs/promises";
import { join } from "node:path";
import {
  SERVICE_CONFIG_VARIABLE,
  type Secret,
  type ServiceConfig,
  type ServingSettings,
  STORE_URL_SECRET,
} from "@millrace/core";
import { filesOfPostgres, importSpools, isPostgresHere, placeOfPostgres } from "@millrace/store";
import type { StorePlace } from "./config/load.ts";
import type { Workspace } from "./workspace.ts";

export interface ServiceIdentity {
  readonly deployment: { readonly id: string; readonly name: string };
  readonly snapshot: { readonly id: string; readonly name: string | null };
  readonly revision: string;
  readonly serving: ServingSettings;
  readonly authKeyHash: string | null;
  /** Whether the service runs on this machine, where it can write to its files. */
  readonly isHere: boolean;
}

/**
 * Spool of a service that runs elsewhere: a place that a container lets everybody write to, in a folder of our own, in whose place
 * a platform can put a volume that outlives the container.
 */
const SPOOL_ELSEWHERE = "/tmp/millrace/spool";

/** The configuration of a service. It holds no secret. */
export function serviceVariables(
  workspace: Workspace,
  identity: ServiceIdentity,
): Readonly<Record<string, string>> {
  const { project } = workspace;
  const { authKey: _key, generateAuthKey: _generate, ...serving } = identity.serving;
  const config: ServiceConfig = {
    deployment: { ...identity.deployment, project: project.name, projectId: project.id },
    snapshot: identity.snapshot,
    revision: identity.revision,
    serving,
    authKeyHash: identity.authKeyHash,
    store: runStoreFor(workspace, identity),
  };
  return { NODE_ENV: "production", [SERVICE_CONFIG_VARIABLE]: JSON.stringify(config) };
}

function runStoreFor(
  workspace: Workspace,
  { deployment, isHere }: ServiceIdentity,
): ServiceConfig["store"] {
  const store = storeInReach(workspace.loaded.store, isHere);
  const spoolDirectory = isHere ? spoolFolder(workspace, deployment.id) : SPOOL_ELSEWHERE;
  if (store === null) return null;
  return store.kind === "postgres"
    ? { kind: "postgres", urlSecret: STORE_URL_SECRET, spoolDirectory }
    : { kind: "sqlite", file: store.file, spoolDirectory };
}

/** The store that a service records its runs in; null for one elsewhere that cannot reach it, which records them in its log. */
export function storeInReach(store: StorePlace, isHere: boolean): StorePlace | null {
  const isInReach = isHere || (store.kind === "postgres" && !isPostgresHere(store.url.reveal()));
  return isInReach ? store : null;
}

/** What a service must be handed as secrets beside those of its pipeline: the URL of the store that it records to. */
export function serviceSecrets(
  { loaded }: Pick<Workspace, "loaded">,
  isHere: boolean,
): Readonly<Record<string, Secret>> {
  const store = storeInReach(loaded.store, isHere);
  return store?.kind === "postgres" ? { [STORE_URL_SECRET]: store.url } : {};
}

/** For a plan: what of the store's URL is of use on this machine alone. */
export function storeNotes(store: StorePlace, isHere: boolean): readonly string[] {
  if (isHere) return [];
  if (storeInReach(store, isHere) === null) return [outOfReach(store)];
  return store.kind === "sqlite"
    ? []
    : filesOfPostgres(store.url.reveal()).map(
        ([option, path]) =>
          `The store's URL names a file of this machine (${option}=${path}). A service that runs elsewhere records no run unless it has that file in the same place: its runs wait in its spool.`,
      );
}

function outOfReach(store: StorePlace): string {
  const [place, advice] =
    store.kind === "sqlite"
      ? [store.file, "A PostgreSQL server as the store gets them at once."]
      : [
          placeOfPostgres(store.url.reveal()),
          "Name the store by an address that is reached from there too.",
        ];
  return `A service that runs elsewhere cannot reach the store at ${place}: it writes its runs into its log. They come into the store when it is updated or removed, and before that by \`npx millrace deployment logs NAME --output json | npx millrace run import -\`. ${advice}`;
}

function spoolFolder({ loaded }: Workspace, deploymentId: string): string {
  return join(loaded.home, "spool", deploymentId);
}

/** Removes the spool of a deployment that is no more, once the store has the runs that wait in it. */
export async function emptySpool(
  workspace: Workspace,
  deploymentId: string,
  progress: (message: string) => void,
): Promise<void> {
  const folder = spoolFolder(workspace, deploymentId);
  const { store, project } = workspace;
  const { recorded, left } = await importSpools(store, folder, { projectId: project.id });
  if (recorded > 0) progress(`Runs of the spool that the store has now: ${recorded}`);
  for (const path of left)
    progress(`Runs stay in ${path}, which is in use or cannot be read to its end`);
  if (left.length > 0) return;
  await rmdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT" && error.code !== "ENOTEMPTY") throw error;
  });
}
