import { secretDigestsSchema } from "@millrace/core";
import { z } from "zod";
import { settingsSchema } from "./settings.ts";
import { errorSummarySchema } from "./worker-protocol.ts";

/** What a supervisor runs: the request of a provision without its secrets. */
export const specSchema = z.strictObject({
  revision: z.string(),
  snapshot: z.strictObject({
    id: z.string(),
    name: z.string().nullable(),
    pipeline: z.string(),
  }),
  directory: z.string(),
  runtime: z.string(),
  settings: settingsSchema,
  startTimeoutSeconds: z.number().positive(),
  drainSeconds: z.number().min(0),
  environment: z.record(z.string(), z.string()),
});

export type Spec = z.output<typeof specSchema>;

const workerSchema = z.strictObject({
  replica: z.string(),
  pid: z.int(),
  /** From `startTimeOf`; null when the process ended before it could be read. */
  startTime: z.string().nullable(),
  revision: z.string(),
  state: z.enum(["starting", "ready", "draining"]),
});

/** What a supervisor knows. Its state file holds the same, so that the last status outlives the supervisor. */
export const stateSchema = z.strictObject({
  version: z.literal(1),
  deploymentId: z.string(),
  pid: z.int(),
  startTime: z.string().nullable(),
  host: z.string(),
  port: z.int(),
  /** The port that was configured when the supervisor started; not `port` when that was in use. */
  wantedPort: z.int().nullable(),
  stopping: z.boolean(),
  /** What takes the requests, or would if its workers were up. */
  current: specSchema.nullable(),
  /** What is being rolled out. */
  next: specSchema.nullable(),
  rollout: z
    .strictObject({
      revision: z.string(),
      phase: z.enum(["progressing", "complete", "failed"]),
      error: errorSummarySchema.nullable(),
    })
    .nullable(),
  /** Workers of `current` that accept connections. */
  ready: z.int(),
  /** Why nothing serves, once waiting is not expected to mend it. */
  error: errorSummarySchema.nullable(),
  workers: z.array(workerSchema),
  restarts: z.int(),
});

export type State = z.output<typeof stateSchema>;
export type WorkerState = z.output<typeof workerSchema>;

/**
 * The state, and keyed digests by which a plan can tell whether a secret's value differs. The key lives as long as the
 * supervisor, and neither it nor a digest is ever stored.
 */
export const statusSchema = stateSchema.extend({
  secrets: secretDigestsSchema,
});

export type Status = z.output<typeof statusSchema>;

/** One JSON text a line on the control socket; each is answered by one line. */
export const requestSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("status"), deploymentId: z.string() }),
  z.strictObject({
    type: z.literal("update"),
    deploymentId: z.string(),
    spec: specSchema,
    /** Names become file names. */
    secrets: z.record(z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/), z.string()),
  }),
  z.strictObject({
    type: z.literal("stop"),
    deploymentId: z.string(),
    /** Whether state and logs go too. */
    remove: z.boolean(),
  }),
]);

export type ControlRequest = z.output<typeof requestSchema>;

export const responseSchema = z.discriminatedUnion("ok", [
  z.strictObject({ ok: z.literal(true), status: statusSchema }),
  z.strictObject({ ok: z.literal(false), error: errorSummarySchema }),
]);

export type ControlResponse = z.output<typeof responseSchema>;

/** Longest line that either side accepts. */
export const MAX_LINE_BYTES = 16 * 1024 * 1024;
