import type {
  Component,
  DeploymentStatus,
  InventoryRecord,
  OperationKind,
  OperationOutcome,
  RunStatus,
} from "@millrace/core";
import type { GeneratedAlways } from "kysely";

/** JSON text; see json-column.ts. */
type Json = string;
/** Milliseconds since the epoch. */
type Time = number;

/** The tables, in camel case; in the database all names are in snake case. Migrations make them. */
export interface Database {
  projects: { id: string; name: string; activeStack: string | null; createdAt: Time };
  users: { id: string; name: string; createdAt: Time };
  components: {
    id: string;
    projectId: string;
    type: Component["type"];
    name: string;
    flavor: string;
    settings: Json;
    createdAt: Time;
  };
  stacks: { id: string; projectId: string; name: string; deployer: string; createdAt: Time };
  pipelines: { id: string; projectId: string; name: string; createdAt: Time };
  snapshots: {
    id: string;
    projectId: string;
    pipelineId: string;
    name: string | null;
    description: string | null;
    createdAt: Time;
  };
  deployments: {
    id: string;
    projectId: string;
    name: string;
    userId: string;
    stack: string;
    deployer: string;
    flavor: string;
    deployerSettings: Json;
    snapshotId: string | null;
    revision: string | null;
    status: DeploymentStatus;
    statusReason: string | null;
    observedAt: Time | null;
    url: string | null;
    authKeyHash: string | null;
    metadata: Json;
    createdAt: Time;
    updatedAt: Time;
  };
  operations: {
    id: string;
    deploymentId: string;
    kind: OperationKind;
    outcome: OperationOutcome;
    userName: string;
    snapshotId: string | null;
    revision: string | null;
    previousSnapshotId: string | null;
    overrides: Json;
    error: Json | null;
    startedAt: Time;
    endedAt: Time | null;
  };
  inventory: {
    deploymentId: string;
    kind: string;
    name: string;
    state: InventoryRecord["state"];
    platformId: string | null;
    /** Order in which the entries of a deployment were first written. */
    position: number;
    updatedAt: Time;
  };
  /** A row stays when its lease is given back, without a holder, so that tokens never start again. */
  leases: { name: string; token: number; holder: Json | null; expiresAt: Time };
  /** Where runs come from. A service has one such row; its runs carry a small number instead of four long ids. */
  runOrigins: {
    id: GeneratedAlways<number>;
    projectId: string;
    pipelineName: string;
    snapshotId: string;
    /** Empty for batch runs. */
    deploymentId: string;
  };
  runs: {
    id: string;
    originId: number;
    /** Null when it is the default name; see run-codec.ts. */
    name: string | null;
    status: RunStatus;
    startedAt: Time;
    durationMs: number | null;
    inputs: Json;
    outputs: Json | null;
    steps: Json;
    error: Json | null;
  };
}
