import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Project, User } from "@millrace/core";
import { openStore, type Store } from "@millrace/store";
import type { ConnectOptions, Timing } from "./client.ts";
import { type LoadedConfig, loadConfig } from "./config/load.ts";
import { checkStoreIsThere, ensureStateFolder } from "./config/state-folder.ts";
import { Plugins } from "./plugins/plugins.ts";
import { SecretFile } from "./secrets/secret-file.ts";
import { ArtifactStore } from "./snapshot/artifact-store.ts";
import { TARGET_NODE } from "./snapshot/bundle.ts";
import { Fingerprints } from "./snapshot/fingerprint.ts";

const DEFAULT_TIMING: Timing = {
  pollMs: 40,
  pollMaxMs: 5000,
  healthTimeoutMs: 5000,
  leaseTtlMs: 15_000,
};

/** What every call works with: the configuration and the places that it names, opened once per client. */
export interface Workspace {
  readonly loaded: LoadedConfig;
  readonly store: Store;
  readonly project: Project;
  readonly user: User;
  readonly plugins: Plugins;
  readonly artifacts: ArtifactStore;
  readonly fingerprints: Fingerprints;
  readonly secrets: SecretFile;
  readonly timing: Timing;
  readonly environment: NodeJS.ProcessEnv;
  /** Absolute path of the server's entry module: shipped, and never imported. */
  readonly runtime: string;
}

export async function openWorkspace(options: ConnectOptions): Promise<Workspace> {
  const environment = process.env;
  const loaded = await loadConfig(options, environment);
  await ensureStateFolder(loaded.home);
  checkStoreIsThere(loaded);
  const store = await openStore({
    url: loaded.store.kind === "sqlite" ? loaded.store.file : loaded.store.url.reveal(),
  });
  try {
    const project = await store.projects.ensure(loaded.project);
    return {
      loaded,
      store,
      project,
      user: await store.users.ensure(loaded.user),
      plugins: new Plugins(loaded, options.flavors ?? [], options.signal),
      // A folder per project, because deleting a snapshot in one project must not take it from another.
      artifacts: new ArtifactStore(join(loaded.artifacts, project.name)),
      fingerprints: new Fingerprints(
        join(loaded.home, "cache", "sources"),
        `${ownVersion()} ${TARGET_NODE}`,
      ),
      secrets: new SecretFile(loaded.secretFile),
      timing: { ...DEFAULT_TIMING, ...options.timing },
      environment,
      runtime: fileURLToPath(import.meta.resolve("@millrace/serving/runtime")),
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

function ownVersion(): string {
  const manifest = JSON.parse(
    readFileSync(new URL("../package.json", import.meta.url), "utf8"),
  ) as { readonly version: string };
  return manifest.version;
}
