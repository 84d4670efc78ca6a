import { z } from "zod";

export const tagsSchema = z.record(z.string(), z.string()).readonly();
export type Tags = z.output<typeof tagsSchema>;

/**
 * What one revision of a service runs. `secrets` names the secret set that the service may read; `image` is null where the
 * service comes from a bundle.
 */
export const specSchema = z
  .strictObject({
    revision: z.string(),
    snapshotId: z.string(),
    pipeline: z.string(),
    environment: z.record(z.string(), z.string()).readonly(),
    size: z.string(),
    replicas: z.number(),
    secrets: z.string().nullable(),
    image: z.string().nullable(),
  })
  .readonly();
export type Spec = z.output<typeof specSchema>;

/** How a new revision takes over: beside the old one, or after that was ended. */
export type Strategy = "rolling" | "recreate";

export interface Rollout {
  readonly spec: Spec;
  /** The pipeline that it runs: the one that is in its image, if it has one. */
  readonly pipeline: string;
  readonly startedAt: number;
  /** When it comes to its end. */
  readonly endsAt: number;
  readonly succeeds: boolean;
  readonly strategy: Strategy;
}

/** A service as it was last written. What it is doing follows from this and the time. */
export interface ServiceRecord {
  readonly id: string;
  readonly name: string;
  readonly tags: Tags;
  readonly rollouts: readonly Rollout[];
  /** Somebody stopped or suspended it; the next roll-out starts it again. */
  readonly held: "stopped" | "paused" | null;
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

const phaseSchema = z.enum(["progressing", "complete", "failed"]);
export type Phase = z.output<typeof phaseSchema>;

/** What the platform tells of a service. `spec` is the newest; `generation` counts up with every roll-out. */
export const serviceViewSchema = z
  .strictObject({
    id: z.string(),
    name: z.string(),
    tags: tagsSchema,
    url: z.string(),
    /** Requests that came while nothing served. */
    turnedAway: z.int(),
    generation: z.int(),
    state: z.enum(["creating", "running", "failed", "stopped", "paused", "deleting"]),
    spec: specSchema,
    serving: z.strictObject({ revision: z.string(), snapshotId: z.string() }).nullable(),
    rollout: z.strictObject({
      revision: z.string(),
      phase: phaseSchema,
      message: z.string().nullable(),
    }),
  })
  .readonly();
export type ServiceView = z.output<typeof serviceViewSchema>;

/** The parts of a secret set that may be shown. */
export const secretViewSchema = z
  .strictObject({
    id: z.string(),
    name: z.string(),
    tags: tagsSchema,
    keys: z.array(z.string()).readonly(),
    version: z.int(),
  })
  .readonly();
export type SecretView = z.output<typeof secretViewSchema>;

const logEntrySchema = z
  .strictObject({
    sequence: z.int(),
    at: z.number(),
    replica: z.string(),
    text: z.string(),
  })
  .readonly();
export type LogEntry = z.output<typeof logEntrySchema>;

export const logPageSchema = z
  .strictObject({ lines: z.array(logEntrySchema).readonly(), more: z.boolean() })
  .readonly();
export type LogPage = z.output<typeof logPageSchema>;

/** How the platform says no. */
export const problemSchema = z.strictObject({ code: z.string(), message: z.string() });

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
  if (service.held !== null || service.goneAt !== null) return null;
  for (const rollout of service.rollouts.toReversed()) {
    if (phaseOf(rollout, now) === "complete") return rollout;
    if (rollout.strategy === "recreate") return null;
  }
  return null;
}

export function viewService(
  service: ServiceRecord,
  { url, turnedAway }: Pick<ServiceView, "url" | "turnedAway">,
  now: number,
): ServiceView {
  const newest = newestRollout(service);
  const serving = servingRollout(service, now);
  const phase = phaseOf(newest, now);
  return {
    id: service.id,
    name: service.name,
    tags: service.tags,
    url,
    turnedAway,
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
  if (service.held !== null) return service.held;
  if (serving !== null) return "running";
  return phase === "failed" ? "failed" : "creating";
}

export function viewSecret({ id, name, tags, values, version }: SecretRecord): SecretView {
  return { id, name, tags, keys: Object.keys(values), version };
}
