import type {
  Clock,
  Deployer,
  DeployerContext,
  DeploymentRecord,
  DeploymentRequest,
  DeploymentTarget,
  Flavor,
  InventoryRecord,
  JsonObject,
  Project,
  User,
} from "@millrace/core";
import type { Store } from "@millrace/store";
import type { DeploymentPlan, EffectiveSetting, ProgressEvent, Timing } from "../client.ts";
import type { Platform } from "./platform.ts";

/** What the driver works with. One explicit object, so that tests can put any deployer and clock in its place. */
export interface DriverDependencies {
  readonly store: Store;
  readonly project: Project;
  readonly user: User;
  readonly clock: Clock;
  readonly timing: Timing;
  /** The deployer that made a deployment, whatever stack is active and whatever became of the component. */
  deployerOf(record: DeploymentRecord): Promise<LoadedDeployer>;
  /** Removes what this machine keeps of a deployment that is to be deleted. */
  forget(record: DeploymentRecord, progress: (message: string) => void): Promise<void>;
}

export interface LoadedDeployer {
  readonly flavor: Flavor;
  readonly deployer: Deployer;
}

/** Everything that decides what shall run, worked out for one deployment record. */
export interface Desired {
  readonly request: DeploymentRequest;
  readonly settings: readonly EffectiveSetting[];
  readonly notes: readonly string[];
  /** SHA-256 of the service's key, hexadecimal; null serves without one. */
  readonly authKeyHash: string | null;
  /** Keeps that key for callers, once the plan was confirmed; absent where there is none to keep. */
  readonly keepAuthKey?: () => Promise<void>;
  /** What the user asked for beside the snapshot, without secrets. Kept with the operation, for rollback. */
  readonly overrides: JsonObject;
  /** What the stack says of the deployer, kept for when it says so no more. */
  readonly deployerSettings: JsonObject;
  /** Brings the artefact to where the platform takes it from; absent when it lies there. May be called again. */
  readonly deliver?: (context: DeployerContext) => Promise<void>;
}

export interface ProvisionInput {
  /** What it is recorded as. */
  readonly kind: "provision" | "rollback";
  readonly record: DeploymentRecord;
  /** True when this call made the record: it is removed again when nothing was started. */
  readonly created: boolean;
  readonly snapshotId: string;
  /** Works out what shall run once the lease is held. Reads from the platform, and changes nothing on it. */
  prepare(target: DeploymentTarget, record: DeploymentRecord, platform: Platform): Promise<Desired>;
  /** False stops before anything changes. */
  readonly confirm?: ((plan: DeploymentPlan) => boolean | Promise<boolean>) | undefined;
  readonly call: Call;
}

/** The caller's side of one operation. */
export interface Call {
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ((event: ProgressEvent) => void) | undefined;
  readonly timeoutSeconds: number;
}

export function targetOf(
  project: Project,
  record: Pick<DeploymentRecord, "id" | "name" | "metadata">,
  inventory: readonly InventoryRecord[],
): DeploymentTarget {
  return {
    id: record.id,
    name: record.name,
    project: project.name,
    // What the platform once said is missing may come back: the deployer still has to look for it.
    inventory: inventory.map(({ kind, name, state, platformId }) => ({
      kind,
      name,
      state: state === "intended" ? "intended" : "present",
      platformId,
    })),
    metadata: record.metadata,
  };
}
