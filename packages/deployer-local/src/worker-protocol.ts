import { ERROR_CLASSES, type ErrorClass, type ErrorSummary } from "@millrace/core";
import { z } from "zod";

const errorClasses = Object.keys(ERROR_CLASSES).filter(
  (name): name is ErrorClass => name in ERROR_CLASSES,
);

export const errorSummarySchema: z.ZodType<ErrorSummary> = z.object({
  class: z.enum(errorClasses),
  code: z.string(),
  message: z.string(),
  action: z.string().exactOptional(),
  retryable: z.boolean(),
  issues: z
    .array(z.object({ path: z.array(z.union([z.string(), z.number()])), message: z.string() }))
    .exactOptional(),
  details: z.record(z.string(), z.unknown()).exactOptional(),
});

/** What a worker tells the process that forked it. */
export const workerMessageSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("ready"), url: z.string() }),
  z.object({ type: z.literal("failed"), error: errorSummarySchema }),
  z.object({ type: z.literal("drained") }),
  z.object({ type: z.literal("alive") }),
]);

/** What a worker is told. `listen` carries the listening socket as the message's handle. */
export type ParentMessage =
  | { readonly type: "listen" }
  /** Answered by `alive` as soon as the worker's thread is free. */
  | { readonly type: "ping" }
  | {
      readonly type: "drain";
      /** Longest time for requests in flight. */
      readonly seconds: number;
      /** Whether another worker takes the connections; if not, idle ones are closed at once. */
      readonly successor: boolean;
    };
