import { z } from "zod";

/** What an operator process is told to do. */
export const orderSchema = z.strictObject({
  plugin: z.string(),
  flavor: z.string(),
  directory: z.string(),
  home: z.string(),
  timing: z.strictObject({ pollMs: z.number(), pollMaxMs: z.number() }),
  /** Name of the deployment. */
  name: z.string(),
  /** Snapshot to deploy; null deprovisions. */
  snapshot: z.string().nullable(),
  /** The write of the journal, counted from 1, at which it dies. */
  killAt: z.int(),
  moment: z.enum(["before", "after"]),
});

export type OperatorOrder = z.output<typeof orderSchema>;
