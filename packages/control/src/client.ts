import type {
  DeploymentRecord,
  Flavor,
  FoundDeployment,
  InventoryRecord,
  JsonObject,
  JsonValue,
  LogLine,
  LogQuery,
  MillraceError,
  OperationOutcome,
  OperationRecord,
  OutputsOf,
  ParametersOf,
  Pipeline,
  Plan,
  RunRecord,
  Secret,
  ServingSettingsInput,
  SnapshotManifest,
  SnapshotRecord,
} from "@millrace/core";
import type {
  DeploymentFilter,
  DeploymentSummary,
  Page,
  PageQuery,
  RunFilter,
  RunImport,
  RunSummary,
} from "@millrace/store";

/** What a deployment or snapshot is made from: a module's path (with `#name` for an export other than default), a pipeline object, or a snapshot. */
export type Source = string | Pipeline | { readonly snapshot: string };

/** Told while a long call goes on. `at` is in milliseconds since the epoch. */
export interface ProgressEvent {
  readonly at: number;
  readonly deployment: string | null;
  readonly message: string;
}

export interface CallOptions {
  /** Ends the call early; an operation under way is recorded as aborted and can be picked up. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: ProgressEvent) => void;
}

export interface DeployOptions extends CallOptions {
  /** Default: the snapshot's name, else the pipeline's. */
  readonly name?: string;
  /** Default: the deployment's own stack, else the active one. A deployment cannot be moved to another stack. */
  readonly stack?: string;
  /** Settings of the deployer's flavor, over those of the deployer and the pipeline. */
  readonly settings?: JsonObject;
  readonly serving?: ServingSettingsInput;
  /** Plain environment of the service. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Deadline of the operation in seconds. Default 600. Loading the pipeline's module has as long before, and 60 s at most. */
  readonly timeoutSeconds?: number;
  /** Answers the question that updating another user's deployment asks. Default false. */
  readonly overtake?: boolean;
  /** False refuses to touch a deployment that exists. Default true. */
  readonly update?: boolean;
  /** Called with the plan before anything changes; false stops with `DEPLOY_DECLINED`. Default: go on. */
  readonly confirm?: (plan: DeploymentPlan) => boolean | Promise<boolean>;
}

/** A deployer's plan together with what it is for. */
export interface DeploymentPlan extends Plan {
  readonly deployment: string;
  readonly exists: boolean;
  readonly snapshot: { readonly from: string | null; readonly to: string };
  /** What deploy goes on with: it was to bring the same into service, and did not come to its end. */
  readonly picksUp: OperationEntry | null;
  /** What one should know beside the changes: where a secret comes from, what the configuration has no more. */
  readonly notes: readonly string[];
  /** Where each effective setting came from. */
  readonly settings: readonly EffectiveSetting[];
}

export interface DeployResult {
  readonly deployment: DeploymentRecord;
  /** Null when nothing had to be done. */
  readonly operation: OperationRecord | null;
  readonly plan: DeploymentPlan;
}

/** Layers of settings in order of growing precedence. */
export type SettingOrigin = "default" | "deployer" | "pipeline" | "command line";

export interface EffectiveSetting {
  /** `deployer.port`, `serving.tracking.mode` … */
  readonly name: string;
  readonly value: JsonValue;
  readonly origin: SettingOrigin;
}

export interface InvokeOptions {
  readonly runName?: string;
  /** Deadline in seconds. Default: the deployment's. */
  readonly timeoutSeconds?: number;
  readonly signal?: AbortSignal;
  /** Called with each event that a step emits, as it comes. */
  readonly onEvent?: (event: StepEvent) => void;
  /** Called, where events are listened to, when the service left some out because they were not read fast enough. */
  readonly onDropped?: (events: number) => void;
}

/** What a step emitted by `context.emit`. */
export interface StepEvent {
  /** Id of the step. */
  readonly step: string;
  readonly event: string;
  readonly data: JsonValue;
}

/** The body of a successful answer of `POST /invoke`. */
export interface Invocation<Outputs = JsonObject> {
  readonly success: true;
  readonly outputs: Outputs;
  /** Seconds. */
  readonly execution_time: number;
  readonly metadata: {
    readonly deployment_id: string;
    readonly deployment_name: string;
    readonly snapshot_id: string;
    readonly snapshot_name: string | null;
    readonly pipeline_name: string;
    readonly run_id: string;
    readonly run_name: string;
    readonly parameters_used: JsonObject;
    /** Only where the service records before it answers, and neither its store nor its spool took the run. */
    readonly recorded?: false;
  };
  readonly error: null;
}

/** A snapshot has one name: of content that was there already it may be another than before. */
export interface CreatedSnapshot extends SnapshotRecord {
  /** The name that it lost by being given this one; null when there was none. */
  readonly nameBefore: string | null;
}

/**
 * An operation as it stands. `interrupted`: it is recorded as running, and its process is gone; the next operation goes on,
 * and records it as abandoned.
 */
export interface OperationEntry extends Omit<OperationRecord, "outcome"> {
  readonly outcome: OperationOutcome | "interrupted";
}

export interface DeploymentDetails {
  readonly deployment: DeploymentRecord;
  readonly snapshot: SnapshotRecord | null;
  readonly manifest: SnapshotManifest | null;
  readonly inventory: readonly InventoryRecord[];
  readonly lastOperation: OperationEntry | null;
  /** The snapshot that a rollback goes to; null when no other one has served. */
  readonly previousSnapshotId: string | null;
  /** What the deploy of its snapshot was given beside what its deployer and its pipeline say; secrets are masked. */
  readonly overrides: Required<Pick<DeployOptions, "settings" | "serving" | "environment">>;
  readonly hasAuthKey: boolean;
  /** Only when asked for with `showSecret`. */
  readonly authKey: Secret | null;
}

export interface DeleteResult {
  /** Resources that `force` left on the platform. */
  readonly leftBehind: readonly InventoryRecord[];
}

/**
 * A deployment that a platform has something of and the store has no record of: its record was lost or removed by force, or
 * another store has it.
 */
export interface Orphan extends FoundDeployment {
  /** Whose platform it is on. */
  readonly deployer: string;
}

export interface OrphanOptions extends CallOptions {
  /** How long listing may take, and then the removal of one, in seconds. Default 60, and 120. */
  readonly timeoutSeconds?: number;
}

/** A deployer or stack as lists show it. `managedBy` says where it is edited. */
export interface DeployerEntry {
  readonly name: string;
  readonly flavor: string;
  readonly settings: JsonObject;
  readonly serving: JsonObject;
  readonly managedBy: "file" | "store" | "built in";
}

export interface StackEntry {
  readonly name: string;
  readonly deployer: string;
  readonly active: boolean;
  readonly managedBy: "file" | "store" | "built in";
}

/** A secret of the store. Its value is never listed. */
export interface SecretEntry {
  readonly name: string;
  /** Where another value stands that goes before this one: the environment or the .env file's path; null where none does. */
  readonly hiddenBy: string | null;
}

export interface ConfigEntry {
  readonly name: string;
  readonly value: JsonValue;
  /** `default`, the config file's path, or the environment variable. */
  readonly origin: string;
}

/**
 * Everything that Millrace does, as calls. The command line is a thin skin on it. Names of deployments and snapshots may
 * be given as name, id or unique id prefix. All errors are MillraceError.
 */
export interface Client {
  readonly snapshots: {
    create(
      source: Exclude<Source, { snapshot: string }>,
      options?: CallOptions & {
        readonly name?: string;
        readonly description?: string;
        readonly replace?: boolean;
      },
    ): Promise<CreatedSnapshot>;
    list(query?: PageQuery & { readonly pipeline?: string }): Promise<Page<SnapshotRecord>>;
    get(
      idOrName: string,
    ): Promise<{ readonly snapshot: SnapshotRecord; readonly manifest: SnapshotManifest }>;
    delete(idOrName: string): Promise<void>;
  };
  /** What deploy would do now. The platform has 60 seconds to answer unless `timeoutSeconds` is given. */
  plan(source: Source, options?: DeployOptions): Promise<DeploymentPlan>;
  deploy(source: Source, options?: DeployOptions): Promise<DeployResult>;
  /** Runs the pipeline once as a batch run in a process of its own. */
  run<P extends Pipeline>(
    source: P,
    parameters: ParametersOf<P>,
    options?: RunOptions,
  ): Promise<RunRecord>;
  run(
    source: Exclude<Source, Pipeline>,
    parameters: JsonObject,
    options?: RunOptions,
  ): Promise<RunRecord>;
  /**
   * Serves a module's pipeline in the foreground, and its new version whenever a source file changes and still builds.
   * Ends once the signal has aborted and the last request is answered.
   */
  dev(source: string, options: DevOptions): Promise<void>;
  /** @throws MillraceError of class `pipeline` when a step failed, `usage` for wrong parameters, `unreachable` when nothing answers. */
  invoke<P extends Pipeline>(
    deployment: string,
    parameters: ParametersOf<P>,
    options?: InvokeOptions,
  ): Promise<Invocation<OutputsOf<P>>>;
  invoke(deployment: string, parameters: JsonObject, options?: InvokeOptions): Promise<Invocation>;
  readonly deployments: {
    list(filter?: DeploymentFilter & { readonly mine?: boolean }): Promise<Page<DeploymentSummary>>;
    get(
      deployment: string,
      options?: { readonly showSecret?: boolean },
    ): Promise<DeploymentDetails>;
    /** Asks the platform and brings the record in line, within 60 seconds unless `timeoutSeconds` is given. */
    refresh(
      deployment: string,
      options?: CallOptions & { readonly timeoutSeconds?: number },
    ): Promise<DeploymentRecord>;
    /** Brings the recorded snapshot, or another one, back into service. */
    provision(
      deployment: string,
      options?: Omit<DeployOptions, "name" | "stack"> & { readonly snapshot?: string },
    ): Promise<DeployResult>;
    /** Removes every resource and keeps the record. */
    deprovision(
      deployment: string,
      options?: CallOptions & { readonly timeoutSeconds?: number; readonly overtake?: boolean },
    ): Promise<DeploymentRecord>;
    /**
     * Deprovisions and removes the record. `force` removes the record whatever the platform says, within 60 seconds unless
     * `timeoutSeconds` is given, and tells what is left.
     */
    delete(
      deployment: string,
      options?: CallOptions & {
        readonly force?: boolean;
        readonly timeoutSeconds?: number;
        readonly overtake?: boolean;
      },
    ): Promise<DeleteResult>;
    /** Deploys the snapshot that served before, or the one named by `to`. */
    rollback(
      deployment: string,
      options?: Omit<DeployOptions, "name" | "stack"> & { readonly to?: string },
    ): Promise<DeployResult>;
    /** Refreshes until the status is reached. @throws `WAIT_TIMEOUT`; `WAIT_FAILED` at once when it is ERROR or ABSENT, unless that is wanted. */
    wait(
      deployment: string,
      options?: CallOptions & {
        readonly status?: DeploymentRecord["status"];
        readonly timeoutSeconds?: number;
      },
    ): Promise<DeploymentRecord>;
    history(deployment: string, query?: PageQuery): Promise<Page<OperationEntry>>;
    logs(
      deployment: string,
      query?: LogQuery & { readonly signal?: AbortSignal },
    ): AsyncIterable<LogLine>;
  };
  readonly runs: {
    list(
      filter?: Omit<RunFilter, "deploymentId"> & { readonly deployment?: string },
    ): Promise<Page<RunSummary>>;
    get(idOrName: string): Promise<RunRecord>;
    /**
     * Reads runs back from a service's log or a spool: a file's path, or its bytes. Lines that are not about runs are skipped;
     * the same lines again change nothing. `adopt` takes runs of other projects into this one; by default they are bad
     * lines. @throws `IMPORT_UNREADABLE`
     */
    import(
      source: string | AsyncIterable<Uint8Array>,
      options?: { readonly adopt?: boolean; readonly signal?: AbortSignal },
    ): Promise<RunImport>;
    /** Removes runs by name, id or id prefix, all or none. @throws `RUN_NOT_FOUND`, `RUN_RUNNING` */
    delete(runs: readonly string[]): Promise<void>;
    /** Removes runs that began before a time, some at a time; those that are running stay. */
    prune(options: PruneOptions): Promise<PruneResult>;
  };
  readonly deployers: {
    flavors(): Promise<readonly Flavor[]>;
    register(
      name: string,
      flavor: string,
      options?: { readonly settings?: JsonObject; readonly serving?: ServingSettingsInput },
    ): Promise<DeployerEntry>;
    list(): Promise<readonly DeployerEntry[]>;
    get(name: string): Promise<{
      readonly deployer: DeployerEntry;
      readonly flavor: Flavor;
      readonly effective: readonly EffectiveSetting[];
    }>;
    /** @throws `DEPLOYER_IN_USE` while it has deployments that are not ABSENT. */
    delete(name: string): Promise<void>;
    /** What its platform has of deployments of this project that the store does not know; none where it cannot tell. */
    orphans(name: string, options?: OrphanOptions): Promise<readonly Orphan[]>;
    /** Removes all of one. @throws `ORPHAN_NOT_FOUND` */
    removeOrphan(name: string, deploymentId: string, options?: OrphanOptions): Promise<Orphan>;
  };
  readonly stacks: {
    register(name: string, deployer: string): Promise<StackEntry>;
    list(): Promise<readonly StackEntry[]>;
    get(name: string): Promise<StackEntry>;
    set(name: string): Promise<void>;
    delete(name: string): Promise<void>;
  };
  readonly secrets: {
    set(name: string, value: Secret): Promise<void>;
    list(): Promise<readonly SecretEntry[]>;
    delete(name: string): Promise<void>;
  };
  readonly config: {
    show(): Promise<readonly ConfigEntry[]>;
    /** What the configuration, or a deployment, names and does not exist, and deployers' settings that are wrong: one sentence for each. */
    problems(): Promise<readonly string[]>;
  };
  /** Releases the store. Running deployments go on. */
  close(): Promise<void>;
}

export interface PruneOptions extends CallOptions {
  /** Milliseconds since the epoch. */
  readonly before: number;
  /** Only runs of this deployment. */
  readonly deployment?: string;
  /** Only runs of this snapshot. */
  readonly snapshot?: string;
  /** Called with how many runs there are to delete, unless there are none; false stops with `PRUNE_DECLINED`. Default: go on. */
  readonly confirm?: (runs: number) => boolean | Promise<boolean>;
}

export interface PruneResult {
  readonly deleted: number;
  /** Runs of that age that stay, because they are recorded as running. */
  readonly running: number;
}

export interface RunOptions extends CallOptions {
  readonly runName?: string;
  readonly timeoutSeconds?: number;
  /** Called when the run has ended and neither the store nor its spool took it. */
  readonly onNotRecorded?: () => void;
  /** Log lines of the pipeline's process. */
  readonly onLog?: (line: LogLine) => void;
}

export interface DevOptions {
  /** Stops serving: requests in flight are answered first. */
  readonly signal: AbortSignal;
  /** Default 8000, and the next free port after it. */
  readonly port?: number;
  readonly serving?: ServingSettingsInput;
  /** Plain environment of the service, over that of this process. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly onEvent?: (event: DevEvent) => void;
  /** Lines that the service writes. */
  readonly onLog?: (line: LogLine) => void;
}

export type DevEvent =
  /** A source file changed; null at the start. */
  | { readonly type: "building"; readonly file: string | null }
  /** This version takes the requests now. */
  | {
      readonly type: "serving";
      readonly url: string;
      readonly snapshot: SnapshotRecord;
      readonly manifest: SnapshotManifest;
    }
  /** It was built, and it is the version that serves already. */
  | { readonly type: "unchanged" }
  /** The new version could not be built or started. With `serving`, the one before goes on. */
  | { readonly type: "failed"; readonly error: MillraceError; readonly serving: boolean }
  | { readonly type: "stopping" };

export interface ConnectOptions {
  /** Where to look for millrace.config.ts, upwards. Default: the working directory. */
  readonly directory?: string;
  /** The config file itself. */
  readonly configFile?: string;
  /** The state folder. Default: MILLRACE_HOME, else `.millrace` beside the config file, else in `directory`. */
  readonly home?: string;
  /** Acting user. Default: MILLRACE_USER, else the operating system's user. */
  readonly user?: string;
  /** Ends the loading of plugins, which the first call that needs one begins. */
  readonly signal?: AbortSignal;
  /** Flavors beside those of the configured plugins; used by tests and the conformance suite. */
  readonly flavors?: readonly Flavor[];
  /** Poll and retry times; for tests and platforms with scaled time. */
  readonly timing?: Partial<Timing>;
}

/** Milliseconds. */
export interface Timing {
  /** First wait between two polls; grows by half up to `pollMaxMs`, with jitter. */
  readonly pollMs: number;
  readonly pollMaxMs: number;
  readonly healthTimeoutMs: number;
  readonly leaseTtlMs: number;
}
