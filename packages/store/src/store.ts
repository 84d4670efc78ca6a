import type {
  Component,
  DeploymentRecord,
  DeploymentStatus,
  ErrorSummary,
  InventoryRecord,
  OperationOutcome,
  OperationRecord,
  PipelineRecord,
  Project,
  ResourceKey,
  RunRecord,
  RunStatus,
  SnapshotRecord,
  Stack,
  User,
} from "@millrace/core";

/** A page of a list, newest first unless said otherwise. `cursor` asks for the next page; null when there is none. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly cursor: string | null;
}

export interface PageQuery {
  /** 1 to 1000. Default 100. */
  readonly limit?: number;
  readonly cursor?: string;
}

export interface DeploymentFilter extends PageQuery {
  readonly status?: DeploymentStatus;
  readonly pipeline?: string;
  readonly deployer?: string;
  readonly userId?: string;
}

export interface RunFilter extends PageQuery {
  readonly deploymentId?: string;
  readonly pipeline?: string;
  readonly status?: RunStatus;
  /** Milliseconds since the epoch. */
  readonly since?: number;
}

/** Runs that began before a time, of one deployment or snapshot where it is given. */
export interface OldRuns {
  /** Milliseconds since the epoch. */
  readonly before: number;
  readonly deploymentId?: string;
  readonly snapshotId?: string;
}

/** A run as lists show it: without payloads and steps. */
export interface RunSummary extends Omit<RunRecord, "inputs" | "outputs" | "steps"> {
  /** Null for a batch run, and for one of a deployment that is not there any more. */
  readonly deploymentName: string | null;
}

/** A deployment as lists show it, with the names that people know. */
export interface DeploymentSummary extends DeploymentRecord {
  readonly pipelineName: string | null;
  readonly snapshotName: string | null;
}

/** Who holds a lease: enough to tell whether that process is still alive. */
export interface LeaseHolder {
  readonly host: string;
  readonly pid: number;
  /** Where that id names one process: a boot of a machine, and the namespace in it. Absent where the system does not tell. */
  readonly pidSpace?: string | undefined;
  /** Start time of that process as the operating system counts it, so that a reused process id is noticed. */
  readonly processStart: string;
  /** What for, in words: `rollback weather`. */
  readonly purpose: string;
  /** When it began with that, in milliseconds since the epoch. */
  readonly since: number;
}

/** Proof of holding a lease. Every guarded write carries it; a write with an old token is refused. */
export interface Lease {
  /** What is locked: `deployment:<id>`. */
  readonly name: string;
  readonly holder: LeaseHolder;
  /** Fencing token: greater than that of every earlier holder. */
  readonly token: number;
  readonly expiresAt: number;
}

/** The outcome of asking for a lease. */
export type LeaseAttempt =
  | { readonly acquired: true; readonly lease: Lease }
  | { readonly acquired: false; readonly current: Lease };

export interface LeaseStore {
  /** Takes the lease when it is free or expired; otherwise tells who holds it. */
  acquire(name: string, holder: LeaseHolder, ttlMs: number): Promise<LeaseAttempt>;
  /** Takes the lease from a holder that is known to be dead; fails when it has changed hands since. */
  takeOver(current: Lease, holder: LeaseHolder, ttlMs: number): Promise<LeaseAttempt>;
  /** Only looks: the lease while it is held, null when it is free or expired. */
  find(name: string): Promise<Lease | null>;
  /** @throws MillraceError `LEASE_LOST` */
  renew(lease: Lease, ttlMs: number): Promise<Lease>;
  /** Gives it back. A lease that was lost is left alone. */
  release(lease: Lease): Promise<void>;
}

export type DeploymentPatch = Partial<
  Pick<
    DeploymentRecord,
    | "name"
    | "snapshotId"
    | "revision"
    | "status"
    | "statusReason"
    | "observedAt"
    | "url"
    | "authKeyHash"
    | "metadata"
    | "deployerSettings"
    | "userId"
  >
>;

/** Records of everything. Each method is one transaction. Unknown ids give null, never an exception. */
export interface Store {
  readonly projects: {
    /** Finds it, or makes it. */
    ensure(name: string): Promise<Project>;
  };
  readonly users: { ensure(name: string): Promise<User> };
  readonly components: {
    /** @throws MillraceError `COMPONENT_EXISTS` */
    create(component: Omit<Component, "id" | "createdAt">): Promise<Component>;
    get(projectId: string, type: Component["type"], name: string): Promise<Component | null>;
    list(projectId: string, type: Component["type"]): Promise<readonly Component[]>;
    /** True when there was one. */
    delete(projectId: string, type: Component["type"], name: string): Promise<boolean>;
  };
  readonly stacks: {
    /** @throws MillraceError `STACK_EXISTS` */
    create(stack: Omit<Stack, "id" | "createdAt">): Promise<Stack>;
    get(projectId: string, name: string): Promise<Stack | null>;
    list(projectId: string): Promise<readonly Stack[]>;
    delete(projectId: string, name: string): Promise<boolean>;
    /** The active stack's name; null means the configured or built-in one. */
    active(projectId: string): Promise<string | null>;
    setActive(projectId: string, name: string | null): Promise<void>;
  };
  readonly pipelines: {
    ensure(projectId: string, name: string): Promise<PipelineRecord>;
    list(projectId: string): Promise<readonly PipelineRecord[]>;
  };
  readonly snapshots: {
    /**
     * Records a snapshot; one that exists already keeps its record, and takes the name when one is given.
     * @throws MillraceError `SNAPSHOT_NAME_TAKEN` unless `replaceName`, which takes the name from the other one.
     */
    ensure(
      snapshot: Omit<SnapshotRecord, "createdAt">,
      options?: { readonly replaceName?: boolean },
    ): Promise<SnapshotRecord>;
    /** By id, by a unique prefix of it (with or without `sha256:`, 4 digits or more), or by name. @throws `SNAPSHOT_AMBIGUOUS` */
    find(projectId: string, idOrName: string): Promise<SnapshotRecord | null>;
    list(
      projectId: string,
      query?: PageQuery & { readonly pipeline?: string },
    ): Promise<Page<SnapshotRecord>>;
    /** @throws MillraceError `SNAPSHOT_IN_USE` while a deployment, an operation that may go on, or a run refers to it. */
    delete(projectId: string, id: string): Promise<boolean>;
  };
  readonly deployments: {
    /** New records are ABSENT. @throws MillraceError `DEPLOYMENT_EXISTS` */
    create(
      deployment: Pick<
        DeploymentRecord,
        "projectId" | "name" | "userId" | "stack" | "deployer" | "flavor" | "deployerSettings"
      >,
    ): Promise<DeploymentRecord>;
    /** By id, unique id prefix (4 or more) or name. @throws `DEPLOYMENT_AMBIGUOUS` */
    find(projectId: string, idOrName: string): Promise<DeploymentRecord | null>;
    /** The deployment that a snapshot serves in, if any. */
    findBySnapshot(projectId: string, snapshotId: string): Promise<DeploymentRecord | null>;
    list(projectId: string, filter?: DeploymentFilter): Promise<Page<DeploymentSummary>>;
    /**
     * Writes under the lease. @throws MillraceError `LEASE_LOST` when the lease's token is not the newest;
     * `SNAPSHOT_NOT_FOUND`, `SNAPSHOT_DEPLOYED`, `DEPLOYMENT_EXISTS`
     */
    update(id: string, patch: DeploymentPatch, lease: Lease): Promise<DeploymentRecord>;
    /** Removes the record with its operations and inventory; its runs stay. @throws `LEASE_LOST` */
    delete(id: string, lease: Lease): Promise<boolean>;
  };
  readonly operations: {
    /**
     * Begins an operation and, in the same transaction, ends every unfinished one of the deployment as `abandoned` and
     * applies the patch to the deployment. @throws `LEASE_LOST`, `SNAPSHOT_NOT_FOUND`
     */
    begin(
      operation: Pick<
        OperationRecord,
        | "deploymentId"
        | "kind"
        | "userName"
        | "snapshotId"
        | "revision"
        | "previousSnapshotId"
        | "overrides"
      >,
      patch: DeploymentPatch,
      lease: Lease,
    ): Promise<OperationRecord>;
    /** Ends an operation and applies the patch in one transaction. @throws `LEASE_LOST` */
    end(
      id: string,
      end: {
        readonly outcome: Exclude<OperationOutcome, "running">;
        readonly error: ErrorSummary | null;
      },
      patch: DeploymentPatch,
      lease: Lease,
    ): Promise<OperationRecord>;
    list(deploymentId: string, query?: PageQuery): Promise<Page<OperationRecord>>;
  };
  readonly inventory: {
    list(deploymentId: string): Promise<readonly InventoryRecord[]>;
    /** Adds or changes an entry. @throws `LEASE_LOST` */
    put(
      deploymentId: string,
      entry: Pick<InventoryRecord, "kind" | "name" | "state" | "platformId">,
      lease: Lease,
    ): Promise<void>;
    /** @throws `LEASE_LOST` */
    remove(deploymentId: string, key: ResourceKey, lease: Lease): Promise<void>;
  };
  readonly runs: {
    /**
     * Adds runs, or replaces ones that were recorded as `running`, or taken for interrupted and yet ended. Idempotent: the same
     * run twice is one run. Returns how many of them were written.
     */
    record(runs: readonly RunRecord[]): Promise<number>;
    /** By id, unique id prefix (4 or more) or name. @throws `RUN_AMBIGUOUS` */
    find(projectId: string, idOrName: string): Promise<RunRecord | null>;
    list(projectId: string, filter?: RunFilter): Promise<Page<RunSummary>>;
    /** Removes runs by id, all or none; returns how many there were. @throws `RUN_RUNNING` */
    delete(projectId: string, ids: readonly string[]): Promise<number>;
    /** How many old runs there are, and how many are recorded as running and therefore stay. */
    countOld(projectId: string, old: OldRuns): Promise<{ ended: number; running: number }>;
    /** Removes at most `limit` old runs that have ended; returns how many, and 0 once there are none. */
    deleteOld(projectId: string, old: OldRuns, limit: number): Promise<number>;
  };
  readonly leases: LeaseStore;
  close(): Promise<void>;
}
