import type { ResourceKey } from "./deployer.ts";
import type { ErrorSummary } from "./errors.ts";
import type { JsonObject, JsonValue } from "./json.ts";
import type { DeploymentStatus } from "./lifecycle.ts";

/** Times in records are milliseconds since the epoch. Ids are UUIDv7 unless said otherwise. */
export type Timestamp = number;

export interface Project {
  readonly id: string;
  readonly name: string;
  readonly createdAt: Timestamp;
}

export interface User {
  readonly id: string;
  readonly name: string;
  readonly createdAt: Timestamp;
}

/** A named, configured part of a stack. So far the only type is `deployer`. */
export interface Component {
  readonly id: string;
  readonly projectId: string;
  readonly type: "deployer";
  readonly name: string;
  readonly flavor: string;
  /** As the user wrote them: defaults are filled in when they are used. */
  readonly settings: JsonObject;
  readonly createdAt: Timestamp;
}

export interface Stack {
  readonly id: string;
  readonly projectId: string;
  readonly name: string;
  readonly deployer: string;
  readonly createdAt: Timestamp;
}

export interface PipelineRecord {
  readonly id: string;
  readonly projectId: string;
  readonly name: string;
  readonly createdAt: Timestamp;
}

export interface SnapshotRecord {
  /** The digest of its manifest: `sha256:` and 64 hexadecimal digits. */
  readonly id: string;
  readonly projectId: string;
  readonly pipelineId: string;
  readonly pipelineName: string;
  /** Given by the user; unique in the project. Null for one that was made by deploy or run. */
  readonly name: string | null;
  readonly description: string | null;
  readonly createdAt: Timestamp;
}

export interface DeploymentRecord {
  readonly id: string;
  readonly projectId: string;
  readonly name: string;
  readonly userId: string;
  readonly userName: string;
  /** Names of the stack and deployer that made it; they do not change. */
  readonly stack: string;
  readonly deployer: string;
  readonly flavor: string;
  /** The deployer's settings when it was made, so that it can be managed whatever became of the component. */
  readonly deployerSettings: JsonObject;
  /** The snapshot that serves. Null until one did. */
  readonly snapshotId: string | null;
  /** Revision that serves; null until one did. */
  readonly revision: string | null;
  readonly status: DeploymentStatus;
  /** Why it has that status, in a sentence. */
  readonly statusReason: string | null;
  /** When the platform was last asked with success. */
  readonly observedAt: Timestamp | null;
  readonly url: string | null;
  /** SHA-256 of the key, hexadecimal; null when there is none. */
  readonly authKeyHash: string | null;
  readonly metadata: JsonObject;
  readonly createdAt: Timestamp;
  readonly updatedAt: Timestamp;
}

export type OperationKind = "provision" | "rollback" | "deprovision" | "refresh" | "delete";

/** `abandoned`: its process died; a later operation found it so. */
export type OperationOutcome =
  | "running"
  | "succeeded"
  | "failed"
  | "timed_out"
  | "aborted"
  | "abandoned";

export interface OperationRecord {
  readonly id: string;
  readonly deploymentId: string;
  readonly kind: OperationKind;
  readonly outcome: OperationOutcome;
  readonly userName: string;
  /** What provision shall make serve; null for the other kinds. */
  readonly snapshotId: string | null;
  readonly revision: string | null;
  /** What served before, for rollback and history. */
  readonly previousSnapshotId: string | null;
  /** What the user asked for beside the snapshot, without secrets: settings given on the command line. */
  readonly overrides: JsonObject;
  readonly error: ErrorSummary | null;
  readonly startedAt: Timestamp;
  readonly endedAt: Timestamp | null;
}

export interface InventoryRecord extends ResourceKey {
  readonly deploymentId: string;
  /** `missing`: the platform says it is not there although nobody here removed it. */
  readonly state: "intended" | "present" | "missing";
  readonly platformId: string | null;
  readonly updatedAt: Timestamp;
}

export const RUN_STATUSES = [
  "running",
  "completed",
  "failed",
  "cancelled",
  "timed_out",
  "interrupted",
] as const;
/** `interrupted`: its process seems to have died before the run ended. Its end replaces it, if that comes after all. */
export type RunStatus = (typeof RUN_STATUSES)[number];

export interface StepRun {
  /** Id of the step in the graph. */
  readonly step: string;
  readonly status: "completed" | "cached" | "failed" | "cancelled" | "timed_out" | "skipped";
  /** Milliseconds after the run's start; null when it never began. */
  readonly startMs: number | null;
  readonly durationMs: number | null;
  readonly attempts: number;
}

export interface RunRecord {
  readonly id: string;
  readonly name: string;
  readonly projectId: string;
  readonly pipelineName: string;
  readonly snapshotId: string;
  /** Null for a batch run. */
  readonly deploymentId: string | null;
  readonly status: RunStatus;
  readonly startedAt: Timestamp;
  /** Null while it runs. */
  readonly durationMs: number | null;
  readonly inputs: JsonValue;
  /** Null when the run did not complete. */
  readonly outputs: JsonValue;
  readonly steps: readonly StepRun[];
  readonly error: ErrorSummary | null;
}
