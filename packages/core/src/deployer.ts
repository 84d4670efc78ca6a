import type { z } from "zod";
import type { MillraceError } from "./errors.ts";
import type { ARCHITECTURES, ImageSettings } from "./image-settings.ts";
import type { JsonValue } from "./json.ts";
import type { Secret } from "./secret.ts";
import type { ServingSettings } from "./serving-settings.ts";

/** What a deployer can do. Declared, and verified by the conformance suite in both directions. */
export interface Capabilities {
  /** What the deployer runs: a folder with the bundled pipeline, or a container image. */
  readonly artefact: "bundle" | "image";
  readonly logs: {
    readonly tail: boolean;
    readonly since: boolean;
    readonly follow: boolean;
    /** Lines say which replica wrote them. */
    readonly replicas: boolean;
  };
  /** Secret values are kept out of the plain environment and of everything that the platform shows. */
  readonly secrets: boolean;
  /** An update loses no request. */
  readonly zeroDowntime: boolean;
  /** A failed update leaves the old revision serving. */
  readonly keepsOldOnFailure: boolean;
  readonly scaleToZero: boolean;
  readonly trafficSplit: boolean;
  /** The URL stays the same across updates, failures and a deprovision that is followed by a provision. */
  readonly stableUrl: boolean;
  readonly tls: boolean;
}

/** Which deployment a call is about. Resource names derive from `id`, which never changes; `name` may. */
export interface DeploymentTarget {
  readonly id: string;
  readonly name: string;
  readonly project: string;
  /** Resources that earlier operations wrote to the journal and that are not known to be gone. */
  readonly inventory: readonly InventoryResource[];
  /** `metadata` of the last observation that was stored. */
  readonly metadata: Readonly<Record<string, JsonValue>>;
}

/** The folder that a `bundle` deployer runs: `<node> <runtime> serve <directory>`. */
export interface BundleArtefact {
  readonly kind: "bundle";
  /** Absolute path of the snapshot's folder. It is immutable and shared; copy nothing into it. */
  readonly directory: string;
  /** Absolute path of the server's entry module, to be run by Node. */
  readonly runtime: string;
}

/** A container image that holds Node, the server and the snapshot, and serves without arguments on the port PORT. */
export interface ImageArtefact {
  readonly kind: "image";
  /**
   * What the platform knows the image by: repository with digest for an image in a registry, repository with a tag
   * that is made from the image's digest for one that an engine was given. Before `provision` it has been delivered.
   */
  readonly reference: string;
  /** For a platform that pulls the image with the login of whoever deploys; null where there is none, or no registry. */
  readonly credentials: RegistryCredentials | null;
}

export type Artefact = BundleArtefact | ImageArtefact;

/** What an image is for. */
export interface ImagePlatform {
  readonly os: "linux";
  readonly architecture: (typeof ARCHITECTURES)[number];
}

export interface RegistryCredentials {
  /** `<token>` marks the password as an identity token, as Docker's credential helpers do. */
  readonly username: string;
  readonly password: Secret;
}

/** A registry that the platform pulls from. Pushing to it is not the deployer's work. */
export interface RegistryDestination {
  readonly kind: "registry";
  /** `host[:port]/path`, without tag or digest. */
  readonly repository: string;
  /** Null: those that the Docker configuration file has for the host, else none. */
  readonly credentials: RegistryCredentials | null;
}

/** An image with its manifest and compressed layers. */
export interface EngineContent {
  /** Digest of the manifest or index. */
  readonly digest: string;
  /** The image as `docker save` writes it, with an OCI layout. Obeys the signal of the call that found it. */
  save(): AsyncIterable<Uint8Array>;
}

/** An image as an engine has it. */
export interface EngineImage {
  readonly os: string;
  readonly architecture: string;
  /** Digests of the uncompressed layers, lowest first. */
  readonly diffIds: readonly string[];
  /** The part `config` of the OCI image configuration: Env, User, WorkingDir and the like. */
  readonly config: Readonly<Record<string, JsonValue>>;
  /**
   * Null from an engine that keeps layers only. One that keeps images as registries do (containerd's image store) takes none
   * without a manifest, which names the base's layers by their compressed bytes.
   */
  readonly content: EngineContent | null;
}

/**
 * An engine that is handed images directly, with no registry between. Images are no resources of a deployment: they are not
 * journalled, deployments may share them, and they stay when a deployment goes.
 */
export interface EngineDestination {
  readonly kind: "engine";
  /** Repository part of the tag that images get there. */
  readonly repository: string;
  /** What the engine has by this reference; null when it has nothing. Changes nothing. */
  find(reference: string, context: ReadContext): Promise<EngineImage | null>;
  /**
   * Takes in an archive of the form of `docker save`, which tags the image as `reference`. Layers that the engine has
   * may be left out of it; when one that it does not have is missing, rejects with an error of class `platform`.
   */
  load(reference: string, archive: AsyncIterable<Uint8Array>, context: ReadContext): Promise<void>;
  /**
   * Builds an image from a Dockerfile and tags it as `reference`.
   * @param archive The build context as a tar, with the Dockerfile at its top.
   */
  build?(
    reference: string,
    archive: AsyncIterable<Uint8Array>,
    platform: ImagePlatform,
    context: ReadContext,
  ): Promise<void>;
}

/** Which image a deployment needs, and where its platform takes it from. */
export interface ImageTarget {
  readonly image: ImageSettings;
  readonly platform: ImagePlatform;
  readonly destination: RegistryDestination | EngineDestination;
}

/** What shall run. The same for plan and provision. */
export interface DeploymentRequest<Settings = unknown> {
  readonly deployment: DeploymentTarget;
  /**
   * Digest over everything that makes one revision differ from another: snapshot, settings, environment, and a keyed
   * digest of the secrets. Store it on the platform (tag, label): equal revision and healthy means no-op.
   */
  readonly revision: string;
  readonly snapshot: {
    readonly id: string;
    readonly name: string | null;
    readonly pipeline: string;
  };
  readonly artefact: Artefact;
  /** The flavor's settings, parsed by its schema. */
  readonly settings: Settings;
  readonly serving: ServingSettings;
  /**
   * Environment of the service, to be set as it is. Holds no secret. PORT and HOST are the deployer's to set, and
   * MILLRACE_PUBLISHED_HOST where clients do not reach the service at HOST.
   */
  readonly environment: Readonly<Record<string, string>>;
  /**
   * Values that the service needs and nobody may see. Hand them over as files (mode 0600) in a folder named by the
   * environment variable MILLRACE_SECRETS_DIR, or by the platform's secret service.
   */
  readonly secrets: Readonly<Record<string, Secret>>;
}

export type ChangeAction = "create" | "update" | "replace" | "delete" | "no-op";

export interface FieldChange {
  readonly field: string;
  readonly before?: JsonValue;
  readonly after?: JsonValue;
}

export interface ResourceChange {
  readonly action: ChangeAction;
  readonly kind: string;
  readonly name: string;
  /** For update and replace: what differs. Secrets appear as their name with no value. */
  readonly fields: readonly FieldChange[];
}

/** What provision would do now. Exact: provision does just this. */
export interface Plan {
  /**
   * The strongest of the resources' actions: `replace` when one is replaced, `no-op` when nothing changes. Beside resources
   * that stay, one that is created or deleted makes it an `update`, or a `create` where the service itself was missing.
   */
  readonly action: Exclude<ChangeAction, "delete">;
  readonly changes: readonly ResourceChange[];
  /** True when requests fail or the URL changes while the plan is carried out. */
  readonly interrupts: boolean;
}

/** A platform resource, by the kind and deterministic name that the deployer gave it. */
export interface ResourceKey {
  readonly kind: string;
  readonly name: string;
}

export interface InventoryResource extends ResourceKey {
  /** `intended`: written before the platform was asked to create it, so it may or may not exist. */
  readonly state: "intended" | "present";
  /** Id or location that the platform gave it, where it differs from the name. */
  readonly platformId: string | null;
}

/** What the platform says of a deployment at one moment. */
export interface Observation {
  /**
   * `running`: a revision takes requests. `progressing`: the platform is at work and nothing serves yet.
   * `failed`: nothing serves and the platform will not mend that by itself. `absent`: no resource exists.
   */
  readonly state: "running" | "progressing" | "failed" | "absent";
  /** Where the service answers; null while there is no such place. */
  readonly url: string | null;
  /** The revision that takes the requests now; null when none does. */
  readonly serving: { readonly revision: string; readonly snapshotId: string } | null;
  /** The newest roll-out, which may be another revision than the one that serves; null when there was none. */
  readonly rollout: {
    readonly revision: string;
    readonly phase: "progressing" | "complete" | "failed";
    /** For a failed phase: what went wrong, with the last log lines of this revision in `details.logs`. */
    readonly error: MillraceError | null;
  } | null;
  /** For state `failed`: what went wrong, with the last log lines in `details.logs`. Null otherwise. */
  readonly error: MillraceError | null;
  /** All resources that exist now. Empty exactly when the state is `absent`. */
  readonly resources: readonly (ResourceKey & { readonly platformId: string | null })[];
  /** Facts worth showing (port, process id, ARN). Stored with the deployment and given back with the next call. */
  readonly metadata: Readonly<Record<string, JsonValue>>;
}

export interface LogQuery {
  /** Only the last so many lines. */
  readonly tail?: number;
  /** Only lines from this time on. */
  readonly since?: Date;
  /** Goes on with new lines until the signal aborts or the deployment is gone. Default false. */
  readonly follow?: boolean;
}

export interface LogLine {
  readonly time: Date | null;
  /** Which process or container wrote it, where the platform tells. */
  readonly replica: string | null;
  readonly stream: "stdout" | "stderr";
  readonly text: string;
}

/** Where a deployer writes what it is about to do, so that a crash at any point leaves nothing that cannot be found. */
export interface Journal {
  /** Call and await before the platform is asked to create the resource. */
  intend(resource: ResourceKey): Promise<void>;
  /** Call once the platform confirmed it. */
  present(resource: ResourceKey, platformId?: string): Promise<void>;
  /** Call once the platform confirmed that it is gone. */
  gone(resource: ResourceKey): Promise<void>;
}

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Waits; rejects with the signal's reason when it aborts. */
  sleep(milliseconds: number, signal: AbortSignal): Promise<void>;
}

export interface DeployerContext {
  /** Aborts at the operation's deadline, when the user interrupts, and when the lease is lost. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly journal: Journal;
  /** Tells the user what is going on: one short present-tense sentence. */
  progress(message: string): void;
  /**
   * Takes the whole log of one process before a platform removes it for good, and so the lines of its spool: a service that reaches
   * no store records its runs there, and they are read back into the store. Absent where nobody wants it. When it rejects, nothing
   * may be removed.
   */
  readonly keepLog?: (log: AsyncIterable<Uint8Array>) => Promise<void>;
}

/** A deployer's reads are made without a journal: they change nothing. */
export type ReadContext = Omit<DeployerContext, "journal" | "keepLog">;

/** A deployment that a platform has something of, as the tags of its resources tell. */
export interface FoundDeployment {
  readonly id: string;
  readonly name: string;
  readonly project: string;
  readonly resources: readonly ResourceKey[];
}

/**
 * Owns the calls to one platform and nothing else: no records, locks, polling, deadlines or health checks.
 *
 * Errors: throw MillraceError. Class `unreachable` when the platform could not be asked (network, throttling, expired
 * credentials; `retryable` when waiting can help, as the call is then repeated until the operation's deadline); class `platform`
 * when it refused. A missing resource is no error.
 */
export interface Deployer<Settings = unknown> {
  /**
   * For flavors whose artefact is an image, and only for them: which image the platform needs and where it takes it
   * from. Making the image and bringing it there is not the deployer's work. Changes nothing.
   */
  imageTarget?(
    request: Pick<DeploymentRequest<Settings>, "deployment" | "settings">,
    context: ReadContext,
  ): Promise<ImageTarget>;
  /** What provision would change. Changes nothing. */
  plan(request: DeploymentRequest<Settings>, context: ReadContext): Promise<Plan>;
  /**
   * Creates what is missing and updates the rest in place. Idempotent: called again with the same request, it goes on
   * where it stood. May return before the service is ready; `inspect` is then polled.
   */
  provision(request: DeploymentRequest<Settings>, context: DeployerContext): Promise<Observation>;
  /** What exists now. */
  inspect(target: DeploymentTarget, context: ReadContext): Promise<Observation>;
  /** Removes every resource. Idempotent. May return before all is gone; `inspect` is then polled. */
  deprovision(target: DeploymentTarget, context: DeployerContext): Promise<Observation>;
  /** Lines in order of time. Ends when there are no more, or with `follow` when the signal aborts. */
  logs(target: DeploymentTarget, query: LogQuery, context: ReadContext): AsyncIterable<LogLine>;
  /**
   * All deployments that the platform has something of, whoever made them: those that no record knows are told to the user,
   * and `deprovision` removes one of them on request. Left out where the platform cannot tell. Changes nothing.
   */
  discover?(context: ReadContext): Promise<readonly FoundDeployment[]>;
}

/** What a deployer is made with. */
export interface DeployerOptions<Settings = unknown> {
  /** Name of the deployer component in the stack config. */
  readonly name: string;
  /**
   * The component's settings, with defaults. Only requests carry settings of their own, so what says where the platform
   * is (endpoint, region, account) is read from here.
   */
  readonly settings: Settings;
  /** Folder of Millrace's own state on this machine, for deployers that keep files. */
  readonly stateDirectory: string;
}

/** A kind of deployer, as a plugin describes it. Importing it must load no platform SDK: `create` does that. */
export interface Flavor<Settings = unknown> {
  /** Lower-case letters, digits and `-`. */
  readonly name: string;
  readonly description: string;
  readonly capabilities: Capabilities;
  /** Every setting with a default or optional, a description in `meta`, and unknown keys refused (z.strictObject). */
  readonly settings: z.ZodType<Settings>;
  /** Rules over more than the settings, such as limits on names; checked before the first call to the platform. */
  check?(
    request: Pick<
      DeploymentRequest<Settings>,
      "deployment" | "settings" | "serving" | "environment"
    >,
  ): readonly string[];
  create(options: DeployerOptions<Settings>): Promise<Deployer<Settings>>;
}

/** Keeps the settings' type while a flavor is written down. */
export function defineFlavor<Settings>(flavor: Flavor<Settings>): Flavor<Settings> {
  return flavor;
}

/** Version of the contract in this file. A plugin made for another one is refused. */
export const CONTRACT_VERSION = 1;

export interface Plugin {
  /** The contract that the plugin was written for: `CONTRACT_VERSION`. */
  readonly contract: number;
  readonly name: string;
  readonly flavors: readonly Flavor[];
}

/** The default export of a plugin package. */
export function definePlugin(plugin: Omit<Plugin, "contract">): Plugin {
  return { contract: CONTRACT_VERSION, ...plugin };
}
