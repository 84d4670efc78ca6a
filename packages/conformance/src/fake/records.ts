/** What one revision of a service runs. */
export interface Spec {
  readonly revision: string;
  readonly snapshotId: string;
  readonly pipeline: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly size: string;
  readonly replicas: number;
  /** Name of the secret set that the service may read. */
  readonly secrets: string | null;
}

/** How a new revision takes over: beside the old one, or after that was ended. */
export type Strategy = "rolling" | "recreate";

export interface Rollout {
  readonly spec: Spec;
  readonly startedAt: number;
  /** When it comes to its end. */
  readonly endsAt: number;
  readonly succeeds: boolean;
  readonly strategy: Strategy;
}

export type Tags = Readonly<Record<string, string>>;

/** A service as it was last written. What it is doing follows from this and the time. */
export interface ServiceRecord {
  readonly id: string;
  readonly name: string;
  readonly tags: Tags;
  readonly rollouts: readonly Rollout[];
  /** Somebody stopped it; the next roll-out starts it again. */
  readonly stopped: boolean;
  readonly goneAt: number | null;
}

export interface SecretRecord {
  readonly id: string;
  readonly name: string;
  readonly tags: Tags;
  readonly values: Readonly<Record<string, string>>;
  readonly version: number;
  readonly goneAt: number | null;
}

export type Phase = "progressing" | "complete" | "failed";

/** What the platform tells of a service. */
export interface ServiceView {
  readonly id: string;
  readonly name: string;
  readonly tags: Tags;
  readonly url: string;
  /** Counts up with every roll-out. */
  readonly generation: number;
  readonly state: "creating" | "running" | "failed" | "stopped" | "deleting";
  /** The newest specification. */
  readonly spec: Spec;
  readonly serving: { readonly revision: string; readonly snapshotId: string } | null;
  readonly rollout: {
    readonly revision: string;
    readonly phase: Phase;
    readonly message: string | null;
  };
}

/** The parts of a secret set that may be shown. */
export interface SecretView {
  readonly id: string;
  readonly name: string;
  readonly tags: Tags;
  readonly keys: readonly string[];
  readonly version: number;
}

export interface LogEntry {
  readonly sequence: number;
  readonly at: number;
  readonly replica: string;
  readonly text: string;
}

export function phaseOf(rollout: Rollout, now: number): Phase {
  if (now < rollout.endsAt) return "progressing";
  return rollout.succeeds ? "complete" : "failed";
}

export function newestRollout({ rollouts, name }: ServiceRecord): Rollout {
  const newest = rollouts.at(-1);
  if (newest === undefined) throw new Error(`service ${name} was made without a roll-out`);
  return newest;
}

/** The roll-out that takes the requests. */
export function servingRollout(service: ServiceRecord, now: number): Rollout | null {
  if (service.stopped || service.goneAt !== null) return null;
  for (const rollout of service.rollouts.toReversed()) {
    if (phaseOf(rollout, now) === "complete") return rollout;
    if (rollout.strategy === "recreate") return null;
  }
  return null;
}

export function viewService(service: ServiceRecord, url: string, now: number): ServiceView {
  const newest = newestRollout(service);
  const serving = servingRollout(service, now);
  const phase = phaseOf(newest, now);
  return {
    id: service.id,
    name: service.name,
    tags: service.tags,
    url,
    generation: service.rollouts.length,
    state: stateOf(service, serving, phase),
    spec: newest.spec,
    serving:
      serving === null
        ? null
        : { revision: serving.spec.revision, snapshotId: serving.spec.snapshotId },
    rollout: {
      revision: newest.spec.revision,
      phase,
      message: phase === "failed" ? "The container ended before it was ready." : null,
    },
  };
}

function stateOf(
  service: ServiceRecord,
  serving: Rollout | null,
  phase: Phase,
): ServiceView["state"] {
  if (service.goneAt !== null) return "deleting";
  if (service.stopped) return "stopped";
  if (serving !== null) return "running";
  return phase === "failed" ? "failed" : "creating";
}

export function viewSecret({ id, name, tags, values, version }: SecretRecord): SecretView {
  return { id, name, tags, keys: Object.keys(values), version };
}
