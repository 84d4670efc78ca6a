import { MillraceError, validRunName } from "@millrace/core";
import { runBatch } from "./batch-run.ts";
import type { Client, ConnectOptions, DeployOptions, RunOptions, Source } from "./client.ts";
import { Deployments } from "./deployments.ts";
import { serveInForeground } from "./dev/dev.ts";
import { invoke } from "./invoke.ts";
import { brokenReferences } from "./references.ts";
import { runsOf } from "./runs.ts";
import { secretFolder } from "./secrets/secret-folder.ts";
import { validSecretName } from "./secrets/secret-name.ts";
import { hiddenSecrets, secretValues } from "./secrets/values.ts";
import { serviceSecrets, serviceVariables } from "./service-environment.ts";
import { servingSettings } from "./settings/layers.ts";
import { COMPILING_VARIABLE } from "./snapshot/compile.ts";
import { sourceOfPath } from "./snapshot/source.ts";
import { readySnapshot, snapshotsOf } from "./snapshots.ts";
import { activeStack, deployersOf, stacksOf } from "./stacks.ts";
import { openWorkspace, type Workspace } from "./workspace.ts";

/**
 * Opens the client: reads the configuration and opens the store.
 * @throws MillraceError `CONNECT_IN_PIPELINE`, `CONFIG_…`, `HOME_UNUSABLE`, `STORE_…`
 */
export async function connect(options: ConnectOptions = {}): Promise<Client> {
  if (process.env[COMPILING_VARIABLE] !== undefined) throw connectsWhenLoaded();
  const workspace = await openWorkspace(options);
  const deployments = new Deployments(workspace);
  const { store, secrets, loaded } = workspace;
  return {
    snapshots: snapshotsOf(workspace),
    plan: (source, call: DeployOptions = {}) => deployments.plan(source, call),
    deploy: (source, call: DeployOptions = {}) => deployments.deploy(source, call),
    async run(source: Source, parameters: Parameters<typeof runBatch>[2], call: RunOptions = {}) {
      if (call.runName !== undefined) validRunName(call.runName);
      return runBatch(workspace, await readySnapshot(workspace, source, call), parameters, call);
    },
    async invoke(deployment: string, parameters: Parameters<typeof invoke>[2], call = {}) {
      return invoke(workspace, await deployments.find(deployment), parameters, call);
    },
    deployments: deployments.calls,
    runs: runsOf(workspace, deployments),
    deployers: deployersOf(workspace),
    stacks: stacksOf(workspace),
    secrets: {
      async set(name, value) {
        validSecretName(name);
        await secrets.set(name, value);
      },
      async list() {
        const places = {
          environment: workspace.environment,
          envFile: loaded.envFile,
          store: secrets,
        };
        const hidden = await hiddenSecrets(places);
        return (await secrets.names())
          .filter(isOwnSecret)
          .map((name) => ({ name, hiddenBy: hidden.get(name) ?? null }));
      },
      async delete(name) {
        if (isOwnSecret(name) && (await secrets.delete(name))) return;
        throw new MillraceError({
          class: "not_found",
          code: "SECRET_NOT_FOUND",
          message: `There is no secret "${name}" in ${loaded.secretFile}.`,
          action: "Run `npx millrace secret list`.",
        });
      },
    },
    config: {
      show: async () => [...loaded.entries, await activeStack(workspace)],
      problems: () => brokenReferences(workspace),
    },
    dev: (source, dev) => serveInForeground(devParts(workspace, source, dev.serving ?? {}), dev),
    close: () => store.close(),
  };
}

/** The keys of deployments lie in the same file; they are their deployments' business. */
function isOwnSecret(name: string): boolean {
  return !name.includes("/");
}

/** @throws MillraceError `IMPORT_UNREADABLE` */
function devParts(
  workspace: Workspace,
  source: string,
  serving: NonNullable<Parameters<Client["dev"]>[1]["serving"]>,
): Parameters<typeof serveInForeground>[0] {
  const { file } = sourceOfPath(source, process.cwd());
  const { artifacts, environment, loaded, secrets } = workspace;
  return {
    runtime: workspace.runtime,
    entry: file,
    async build(signal) {
      const ready = await readySnapshot(workspace, source, { signal });
      return { ...ready, directory: artifacts.folderToRun(ready.snapshot.id, ready.manifest) };
    },
    async environment({ snapshot, manifest }) {
      const settings = servingSettings([
        {
          origin: "pipeline",
          place: `pipeline "${manifest.pipeline.name}"`,
          values: manifest.settings.serving,
        },
        { origin: "command line", place: "the command line", values: serving },
      ]);
      const values = await secretValues(manifest.pipeline.secrets, {
        environment,
        envFile: loaded.envFile,
        store: secrets,
      });
      const folder = await secretFolder({ ...values, ...serviceSecrets(workspace, true) });
      const variables = serviceVariables(workspace, {
        deployment: { id: "dev", name: manifest.pipeline.name },
        snapshot: { id: snapshot.id, name: snapshot.name },
        revision: `dev-${snapshot.id.slice(-12)}`,
        serving: settings.value,
        authKeyHash: null,
        isHere: true,
      });
      return {
        variables: { ...variables, NODE_ENV: "development", ...folder.variables },
        release: folder.release,
      };
    },
  };
}

function connectsWhenLoaded(): MillraceError {
  return new MillraceError({
    class: "pipeline",
    code: "CONNECT_IN_PIPELINE",
    message:
      "The pipeline's module opens a client when it is loaded, and so would every copy of it.",
    action: "Deploy from another module than the one that defines the pipeline.",
  });
}
