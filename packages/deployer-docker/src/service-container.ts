import { posix } from "node:path";
import {
  type DeploymentRequest,
  type JsonObject,
  PUBLISHED_HOST_VARIABLE,
  SECRETS_DIRECTORY_VARIABLE,
  SERVICE_CONFIG_VARIABLE,
  secretDigests,
  withSecretSettingsDigested,
} from "@millrace/core";
import type { ContainerCreateOptions, HostConfig, MountSettings } from "dockerode";
import { z } from "zod";
import type { ArchiveFile } from "./archive.ts";
import { type Place, PORT } from "./door-container.ts";
import { hostOf, LABELS, labelsOf, namesOf } from "./names.ts";
import { bytesOf, type DockerSettings, logConfigOf } from "./settings.ts";

/** Where a service finds its secrets: a volume that only its container has. */
export const SECRETS_FOLDER = "/run/millrace/secrets";
/** Says by keyed digests which secrets are there, so that a plan can compare without reading one. */
export const DIGESTS_FILE = ".digests";
/** Time for a container to begin and end, on top of what `onInit` may take. */
const START_ALLOWANCE_SECONDS = 30;

export type Request = DeploymentRequest<DockerSettings>;

export function startTimeoutMs({ settings, serving }: Request): number {
  const { startTimeoutSeconds = serving.initTimeoutSeconds + START_ALLOWANCE_SECONDS } = settings;
  return startTimeoutSeconds * 1000;
}

export const specSchema = z.record(z.string(), z.json());

/** What a person would call the parts of a service, for plans. Nothing of it is secret. */
export function specOf({ artefact, environment, settings, snapshot }: Request): JsonObject {
  const { [SERVICE_CONFIG_VARIABLE]: config = "{}", ...plain } = environment;
  // Where the engine and the port are belongs to the door.
  const { engine, bind, port, portRange, registry, image, ...container } = settings;
  const spec = specSchema.parse(
    JSON.parse(
      JSON.stringify({
        snapshot: snapshot.id,
        image: artefact.kind === "image" ? artefact.reference : null,
        settings: container,
        environment: plain,
        service: serviceSpec(config),
      }),
    ),
  );
  // It becomes a label, which everybody sees who uses the engine.
  return withSecretSettingsDigested(spec);
}

const serviceSchema = z.looseObject({ serving: z.json(), authKeyHash: z.string().nullable() });

function serviceSpec(config: string): JsonObject {
  const { data } = serviceSchema.safeParse(JSON.parse(config));
  return data === undefined ? {} : { serving: data.serving, authKeyHash: data.authKeyHash };
}

export function serviceOptions(
  request: Request,
  { name, network }: Place,
): ContainerCreateOptions & { readonly name: string } {
  const { artefact, deployment, revision, settings, snapshot } = request;
  if (artefact.kind !== "image") throw new TypeError("the flavor declares that it runs images");
  return {
    name,
    Image: artefact.reference,
    Env: environmentOf(request),
    Labels: {
      ...settings.labels,
      ...labelsOf(deployment, "service"),
      [LABELS.revision]: revision,
      [LABELS.snapshot]: snapshot.id,
      [LABELS.spec]: JSON.stringify(specOf(request)),
    },
    HostConfig: hostConfig(request, network),
    NetworkingConfig: {
      EndpointsConfig: { [network]: { Aliases: [hostOf(revision)] } },
    },
    StopSignal: "SIGTERM",
  };
}

function environmentOf({ environment, secrets, settings }: Request): string[] {
  const variables = {
    ...environment,
    HOST: "0.0.0.0",
    PORT: String(PORT),
    // Only the door, on the port that it publishes, can be reached from outside.
    [PUBLISHED_HOST_VARIABLE]: settings.bind,
    ...(Object.keys(secrets).length === 0 ? {} : { [SECRETS_DIRECTORY_VARIABLE]: SECRETS_FOLDER }),
  };
  return Object.entries(variables).map(([name, value]) => `${name}=${value}`);
}

function hostConfig(request: Request, network: string): HostConfig {
  const { deployment, secrets, settings } = request;
  const { cpus, gpus, memory, shmSize } = settings;
  const spool = spoolOf(request);
  return {
    ...settings.runOptions,
    NetworkMode: network,
    // A candidate that dies stays dead, so that why it died can be told; it gets its policy once it serves.
    RestartPolicy: { Name: "no" },
    Init: true,
    CapDrop: ["ALL"],
    SecurityOpt: ["no-new-privileges"],
    PidsLimit: settings.pids,
    ReadonlyRootfs: settings.readOnly,
    ...(settings.readOnly
      ? { Tmpfs: { "/tmp": `rw,nosuid,nodev,mode=1777,size=${bytesOf(settings.tmpSize)}` } }
      : {}),
    Mounts: [
      ...settings.volumes.map(mountOf),
      ...(Object.keys(secrets).length === 0 ? [] : [secretsMount(deployment)]),
      ...(spool === null ? [] : [spoolMount(deployment, spool.folder)]),
    ],
    ExtraHosts: settings.extraHosts,
    Ulimits: settings.ulimits.map(({ name, soft, hard }) => ({
      Name: name,
      Soft: soft,
      Hard: hard,
    })),
    LogConfig: logConfigOf(settings),
    ...(memory === undefined ? {} : { Memory: bytesOf(memory) }),
    ...(cpus === undefined ? {} : { NanoCpus: Math.round(cpus * 1e9) }),
    ...(shmSize === undefined ? {} : { ShmSize: bytesOf(shmSize) }),
    ...(gpus === undefined
      ? {}
      : { DeviceRequests: [{ Count: gpus === "all" ? -1 : gpus, Capabilities: [["gpu"]] }] }),
  };
}

/** A folder that does not exist is refused, and not made as Docker's short form would. */
function mountOf(volume: string): MountSettings {
  const [source = "", target = "", mode] = volume.split(":");
  return {
    Type: source.startsWith("/") ? "bind" : "volume",
    Source: source,
    Target: target,
    ReadOnly: mode === "ro",
  };
}

const spoolSchema = z.object({ store: z.object({ spoolDirectory: z.string() }) });

/** Where a service keeps runs that its store does not take yet, and the folder around it; null for one without a store. */
export function spoolOf({ environment }: Pick<Request, "environment">): {
  readonly folder: string;
  readonly files: readonly ArchiveFile[];
} | null {
  const { [SERVICE_CONFIG_VARIABLE]: config = "{}" } = environment;
  const { data } = spoolSchema.safeParse(JSON.parse(config));
  if (data === undefined) return null;
  const { dir, base } = posix.parse(data.store.spoolDirectory);
  // A new volume is root's: the service gets a folder in it.
  return { folder: dir, files: [{ path: `${base}/`, content: null, mode: 0o700 }] };
}

/** A volume that all containers of the deployment share: what one leaves, the next one takes over. */
export function spoolMount(deployment: Request["deployment"], folder: string): MountSettings {
  return {
    Type: "volume",
    Source: namesOf(deployment).spool,
    Target: folder,
    VolumeOptions: {
      NoCopy: true,
      Labels: labelsOf(deployment, "spool"),
      DriverConfig: { Name: "local", Options: {} },
    },
  };
}

/** A volume without a name goes with its container. */
function secretsMount(deployment: Request["deployment"]): MountSettings {
  return {
    Type: "volume",
    Source: "",
    Target: SECRETS_FOLDER,
    VolumeOptions: {
      NoCopy: true,
      Labels: labelsOf(deployment, "secrets"),
      DriverConfig: { Name: "local", Options: {} },
    },
  };
}

/** Files for the volume of secrets: readable for the service's user and nobody else. */
export function secretFiles(secrets: Request["secrets"]): readonly ArchiveFile[] {
  return [
    ...Object.entries(secrets).map(([path, secret]) => ({
      path,
      content: secret.reveal(),
      mode: 0o400,
    })),
    { path: DIGESTS_FILE, content: JSON.stringify(secretDigests(secrets)), mode: 0o400 },
  ];
}
