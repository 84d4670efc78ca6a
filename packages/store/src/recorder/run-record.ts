import {
  ERROR_CLASSES,
  type ErrorClass,
  type JsonValue,
  RUN_STATUSES,
  type RunRecord,
} from "@millrace/core";
import { z } from "zod";

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
/** Control characters and halves of surrogate pairs, which no database's text or JSON has to take, are in nobody's name. */
const text = z.string().regex(/^[^\p{Cc}\p{Cs}]*$/u, "has characters that no name has");
/** Longer ones are nobody's name, and indexes do not take them: ids and a name together have 2700 bytes at most. */
const name = text.min(1).max(500);
const id = z.string().regex(/^[!-~]{1,100}$/, "is no id");
/** What a column of the view `step_runs` takes. */
const MAX_INTEGER = 2 ** 31 - 1;
const milliseconds = z.number().min(0);

/** It was parsed from JSON; zod's own would lose a key named __proto__. */
const json = z.custom<JsonValue>((value) => value !== undefined, "is missing");

/** The form of a run that comes from outside: a log, or a spool. */
export const runRecordSchema: z.ZodType<RunRecord> = z.object({
  id: z.string().regex(UUID_V7, "is no UUIDv7"),
  name,
  projectId: id,
  pipelineName: name,
  snapshotId: id,
  deploymentId: id.nullable(),
  status: z.enum(RUN_STATUSES),
  startedAt: z.int().min(0),
  durationMs: milliseconds.nullable(),
  inputs: json,
  outputs: json,
  steps: z.array(
    z.object({
      step: text,
      status: z.enum(["completed", "cached", "failed", "cancelled", "timed_out", "skipped"]),
      startMs: milliseconds.nullable(),
      durationMs: milliseconds.nullable(),
      attempts: z.int().min(0).max(MAX_INTEGER),
    }),
  ),
  error: z
    .object({
      class: z.enum(Object.keys(ERROR_CLASSES) as [ErrorClass, ...ErrorClass[]]),
      code: z.string(),
      message: z.string(),
      action: z.string().exactOptional(),
      retryable: z.boolean(),
      issues: z
        .array(
          z.object({
            path: z.array(z.union([z.string(), z.number()])),
            message: z.string(),
          }),
        )
        .exactOptional(),
      details: z.record(z.string(), z.unknown()).exactOptional(),
    })
    .nullable(),
});
