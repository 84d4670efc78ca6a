import { createHmac, randomBytes, randomUUID } from "node:crypto";
import { link, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  type Artefact,
  canonicalJson,
  type DeploymentRequest,
  type DeploymentTarget,
  type Flavor,
  type JsonObject,
  MillraceError,
  messageOf,
  type Secret,
  type ServingSettingsInput,
  type SnapshotManifest,
  type SnapshotRecord,
} from "@millrace/core";
import { z } from "zod";
import type { DeployerEntry, EffectiveSetting } from "./client.ts";
import type { Desired } from "./lifecycle/dependencies.ts";
import type { Platform } from "./lifecycle/platform.ts";
import { keepAuthKey, wantedAuthKey } from "./secrets/auth-key.ts";
import { hiddenSecrets, secretValues } from "./secrets/values.ts";
import { serviceSecrets, serviceVariables, storeNotes } from "./service-environment.ts";
import { deployerSettings, type Layer, servingSettings } from "./settings/layers.ts";
import { keptSettings, servingLayer, settingsLayer } from "./stacks.ts";
import type { Workspace } from "./workspace.ts";

/** What the caller asks for beside the snapshot. */
export interface Overrides {
  readonly settings: JsonObject;
  readonly serving: ServingSettingsInput;
  readonly environment: Readonly<Record<string, string>>;
}

export interface DesiredInput {
  readonly snapshot: SnapshotRecord;
  readonly manifest: SnapshotManifest;
  readonly deployer: Pick<DeployerEntry, "name" | "settings" | "serving">;
  readonly flavor: Flavor;
  readonly overrides: Overrides;
  readonly currentAuthKeyHash: string | null;
  /** For the plan, beside what is found here. */
  readonly notes: readonly string[];
}

/** Environment variables that are set by Millrace or by the deployer. */
const RESERVED = /^(?:MILLRACE_|PORT$|HOST$)/;

/**
 * Works out everything that shall run: settings by precedence, secrets, environment, and the revision over all of it.
 * @throws MillraceError `SETTINGS_INVALID`, `SECRET_MISSING`, `ENVIRONMENT_RESERVED`, `ENVIRONMENT_SECRET`, `ENVIRONMENT_INVALID`, `SNAPSHOT_GONE`
 */
export async function desire(
  workspace: Workspace,
  target: DeploymentTarget,
  platform: Platform,
  input: DesiredInput,
): Promise<Desired> {
  const { snapshot, manifest, deployer, flavor, overrides } = input;
  const settings = deployerSettings(flavor, settingsLayers(deployer, flavor, manifest, overrides));
  const serving = servingSettings(servingLayers(deployer, manifest, overrides));
  const { hash: authKeyHash, key } = await wantedAuthKey(
    {
      deploymentId: target.id,
      serving: serving.value,
      isExplicit: isGiven(serving.effective, "serving.generateAuthKey"),
      currentHash: input.currentAuthKeyHash,
    },
    workspace.secrets,
  );
  const places = {
    environment: workspace.environment,
    envFile: workspace.loaded.envFile,
    store: workspace.secrets,
  };
  const values = await secretValues(manifest.pipeline.secrets, places);
  const hidden = await hiddenSecrets(places);
  const environment = userEnvironment(overrides.environment, manifest.pipeline.secrets);
  const { authKey: _key, ...plainServing } = serving.value;
  // How the key came about makes no revision: the key itself does, by its digest.
  const { generateAuthKey: _generate, ...comparedServing } = plainServing;
  const ready = await artefactFor(
    workspace,
    platform,
    { deployment: target, settings: settings.value },
    input,
  );
  const isHere = ready.artefact.kind === "bundle";
  const secrets = { ...values, ...serviceSecrets(workspace, isHere) };
  const revision = await revisionOf(
    workspace,
    {
      snapshot: snapshot.id,
      settings: settings.value,
      serving: comparedServing,
      environment,
      authKeyHash,
      artefact: ready.version,
    },
    secrets,
  );
  const identity = {
    deployment: { id: target.id, name: target.name },
    snapshot: { id: snapshot.id, name: snapshot.name },
    revision,
    serving: serving.value,
    authKeyHash,
    isHere,
  };
  return {
    request: {
      deployment: target,
      revision,
      snapshot: { id: snapshot.id, name: snapshot.name, pipeline: manifest.pipeline.name },
      artefact: ready.artefact,
      settings: settings.value,
      // The key is not the deployer's business: the service checks its hash.
      serving: plainServing,
      environment: { ...serviceVariables(workspace, identity), ...environment },
      secrets,
    },
    settings: [...settings.effective, ...serving.effective],
    notes: [
      ...input.notes,
      ...authKeyNotes(input.currentAuthKeyHash, authKeyHash),
      ...storeNotes(workspace.loaded.store, isHere),
      ...manifest.pipeline.secrets.flatMap((name) => {
        const place = hidden.get(name);
        return place === undefined
          ? []
          : [
              `The secret ${name} is taken from ${place}, and not from the secret store, which has it too.`,
            ];
      }),
    ],
    authKeyHash,
    ...(key === null ? {} : { keepAuthKey: () => keepAuthKey(target.id, key, workspace.secrets) }),
    overrides: storedOverrides(overrides),
    deployerSettings: keptSettings(deployer),
    ...(ready.deliver === undefined ? {} : { deliver: ready.deliver }),
  };
}

/** What callers of the service have to know before it changes. */
function authKeyNotes(current: string | null, wanted: string | null): string[] {
  if (current === null || wanted === current) return [];
  return wanted === null
    ? ["The key is taken away: whoever reaches the service may call it."]
    : ["The service gets another key: calls with the one that it has now will be refused."];
}

function isGiven(settings: readonly EffectiveSetting[], name: string): boolean {
  return settings.some((setting) => setting.name === name && setting.origin !== "default");
}

function settingsLayers(
  deployer: DesiredInput["deployer"],
  flavor: Flavor,
  manifest: SnapshotManifest,
  overrides: Overrides,
): Layer<JsonObject>[] {
  return [
    settingsLayer(deployer),
    {
      origin: "pipeline",
      place: `pipeline "${manifest.pipeline.name}"`,
      values: (manifest.settings.deployer[flavor.name] ?? {}) as JsonObject,
    },
    { origin: "command line", place: "the command line", values: overrides.settings },
  ];
}

function servingLayers(
  deployer: DesiredInput["deployer"],
  manifest: SnapshotManifest,
  overrides: Overrides,
): Layer<ServingSettingsInput>[] {
  return [
    servingLayer(deployer),
    {
      origin: "pipeline",
      place: `pipeline "${manifest.pipeline.name}"`,
      values: manifest.settings.serving,
    },
    { origin: "command line", place: "the command line", values: overrides.serving },
  ];
}

interface ReadyArtefact {
  readonly artefact: Artefact;
  /** What tells one version of it from another, beside the snapshot. */
  readonly version: string;
  readonly deliver?: Desired["deliver"];
}

async function artefactFor(
  workspace: Workspace,
  platform: Platform,
  request: Pick<DeploymentRequest, "deployment" | "settings">,
  { snapshot, manifest, flavor }: DesiredInput,
): Promise<ReadyArtefact> {
  const { artifacts, runtime } = workspace;
  if (flavor.capabilities.artefact === "bundle") {
    const directory = artifacts.folderToRun(snapshot.id, manifest);
    // A newer server is another service although nothing of the user's has changed.
    return {
      artefact: { kind: "bundle", directory, runtime },
      version: await runtimeVersion(runtime),
    };
  }
  const context = platform.context();
  const target = await platform.ask(({ deployer }) => {
    if (deployer.imageTarget === undefined) throw noImageTarget(flavor);
    return deployer.imageTarget(request, context);
  });
  const { makeDeploymentImage } = await import("./image/deployment-image.ts");
  const { artefact, deliver } = await platform.ask(() =>
    makeDeploymentImage(workspace, { id: snapshot.id, manifest }, target, context),
  );
  return { artefact, version: artefact.reference, deliver };
}

function noImageTarget({ name }: Flavor): MillraceError {
  return new MillraceError({
    class: "platform",
    code: "PLUGIN_INVALID",
    message: `The flavor "${name}" runs images, and its deployer has no imageTarget to say where they go.`,
    action: "Report it to the plugin's author.",
  });
}

function userEnvironment(
  environment: Readonly<Record<string, string>>,
  secrets: readonly string[],
): Readonly<Record<string, string>> {
  for (const [name, value] of Object.entries(environment)) {
    const fault = faultOfVariable(name, value, secrets);
    if (fault !== undefined) throw fault;
  }
  return environment;
}

function faultOfVariable(
  name: string,
  value: string,
  secrets: readonly string[],
): MillraceError | undefined {
  const refuse = (code: string, message: string, action: string): MillraceError =>
    new MillraceError({ class: "usage", code, message, action });
  if (RESERVED.test(name))
    return refuse(
      "ENVIRONMENT_RESERVED",
      `The environment variable ${name} is set by Millrace.`,
      "Choose another name; the port is a setting of the deployer.",
    );
  if (secrets.includes(name))
    return refuse(
      "ENVIRONMENT_SECRET",
      `${name} is a secret of the pipeline and does not belong into the plain environment.`,
      `Run: npx millrace secret set ${name}`,
    );
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || value.includes("\0"))
    return refuse(
      "ENVIRONMENT_INVALID",
      `${JSON.stringify(name)} is no usable environment variable.`,
      "Use letters, digits and _ in its name, and text without a null character as its value.",
    );
  return undefined;
}

/** A key given on the command line lies in the secret store; the record does not repeat it. */
function storedOverrides({ settings, serving, environment }: Overrides): JsonObject {
  const { authKey: _key, ...plain } = serving;
  return { settings, serving: plain as JsonObject, environment };
}

/** Digest over all that makes one revision differ from another. Secrets enter it under a key that stays on this machine. */
async function revisionOf(
  { loaded }: Workspace,
  parts: object,
  secrets: Readonly<Record<string, Secret>>,
): Promise<string> {
  const key = await revisionKey(join(loaded.home, "revision.key"));
  const hmac = createHmac("sha256", key).update(canonicalJson(parts));
  for (const [name, secret] of Object.entries(secrets).sort(([a], [b]) => (a < b ? -1 : 1))) {
    hmac.update(JSON.stringify([name, secret.reveal()]));
  }
  return hmac.digest("hex");
}

async function revisionKey(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw keyUnusable(file, error);
  }
  const draft = `${file}.${randomUUID()}`;
  try {
    await writeFile(draft, randomBytes(32), { mode: 0o600, flush: true });
    // A link appears with its whole content, or not at all when another process was faster; then that one's key counts.
    await link(draft, file);
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw keyUnusable(file, error);
  } finally {
    await rm(draft, { force: true });
  }
  return readFile(file);
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

function keyUnusable(file: string, cause: unknown): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "HOME_UNUSABLE",
    message: `The file ${file} cannot be read or written: ${messageOf(cause)}.`,
    action: "Make room on the disk, or correct the permissions of the state folder.",
    cause,
  });
}

async function runtimeVersion(runtime: string): Promise<string> {
  const manifest = JSON.parse(await readFile(join(dirname(runtime), "..", "package.json"), "utf8"));
  return z.object({ version: z.string() }).parse(manifest).version;
}
