import { z } from "zod";
import { issuesOf } from "./parse.ts";

/**
 * How a deployment serves. The same for every flavor; set by a deployer, a pipeline or the command line, in this order
 * of growing precedence.
 */
export const servingSettingsSchema = z.strictObject({
  authKey: z
    .string()
    .min(16, "must have at least 16 characters")
    .max(256)
    .regex(
      /^[\x21-\x7e]*$/,
      "must consist of letters, digits and punctuation of ASCII, without spaces: the Authorization header carries nothing else",
    )
    .optional()
    .meta({
      description:
        "Key that requests must carry; it is kept in the secret store, and only its digest elsewhere. Better: `generateAuthKey`.",
    }),
  generateAuthKey: z
    .boolean()
    .default(false)
    .meta({ description: "Makes a random key at the first deploy and keeps it." }),
  allowUnauthenticated: z
    .boolean()
    .default(false)
    .meta({ description: "Lets a deployment listen beyond loopback without a key." }),
  requestTimeoutSeconds: z
    .number()
    .positive()
    .max(86_400)
    .default(300)
    .meta({ description: "Deadline of a request; a request may ask for less." }),
  maxConcurrency: z
    .int()
    .min(1)
    .max(100_000)
    .default(1024)
    .meta({ description: "Runs at the same time in one process." }),
  maxQueue: z
    .int()
    .min(0)
    .max(100_000)
    .default(1024)
    .meta({ description: "Requests that wait for a free place; beyond that 429." }),
  queueTimeoutSeconds: z
    .number()
    .positive()
    .max(3600)
    .default(30)
    .meta({ description: "Longest wait in the queue; then 503." }),
  bodyLimitBytes: z
    .int()
    .min(1024)
    .max(268_435_456)
    .default(1_048_576)
    .meta({ description: "Largest request body." }),
  drainSeconds: z
    .number()
    .min(0)
    .max(3600)
    .default(30)
    .meta({ description: "How long requests in flight may take to finish at shutdown or update." }),
  initTimeoutSeconds: z
    .number()
    .positive()
    .max(3600)
    .default(60)
    .meta({ description: "Deadline of `onInit`." }),
  exposeErrors: z
    .boolean()
    .default(false)
    .meta({ description: "Puts the message and stack of a failing step into the response." }),
  logLevel: z
    .enum(["debug", "info", "warn", "error"])
    .default("info")
    .meta({ description: "Least level that is logged." }),
  corsOrigins: z.array(z.string()).default([]).meta({
    description: "Origins whose pages may call the deployment from a browser; `*` for any.",
  }),
  tracking: z
    .strictObject({
      mode: z.enum(["async", "sync", "sampled", "off"]).default("async").meta({
        description:
          "When a run is recorded: within 50 ms, before the response, for a sample, or never.",
      }),
      sampleRate: z.number().min(0).max(1).default(0.1).meta({
        description: "Share of runs that `sampled` records. Failed runs are always recorded.",
      }),
      durability: z.enum(["process", "machine"]).default("process").meta({
        description:
          "What a run recorded by `sync` survives: the death of the process, or of the machine.",
      }),
      maxPayloadBytes: z.int().min(0).max(16_777_216).default(65_536).meta({
        description: "Inputs or outputs larger than this are recorded by size and digest only.",
      }),
      spoolBytes: z.int().min(0).max(17_179_869_184).default(268_435_456).meta({
        description: "Size of the file that keeps runs while the store cannot be reached.",
      }),
      retentionDays: z
        .number()
        .positive()
        .max(36_500)
        .default(30)
        .meta({ description: "Age at which run records are deleted." }),
    })
    .prefault({}),
});

/** Effective settings: every default filled in. */
export type ServingSettings = z.output<typeof servingSettingsSchema>;
/** What a user writes: every setting optional. */
export type ServingSettingsInput = z.input<typeof servingSettingsSchema>;

/**
 * Checks settings as a user wrote them and leaves them as they are: no defaults are filled in, so that layers of
 * settings can be merged by precedence before `servingSettingsSchema` completes them.
 */
export const servingSettingsInputSchema: z.ZodType<ServingSettingsInput, ServingSettingsInput> = z
  .custom<ServingSettingsInput>(
    (value) => typeof value === "object" && value !== null,
    "must be an object",
  )
  .superRefine((value, context) => {
    const result = servingSettingsSchema.safeParse(value);
    if (result.success) return;
    for (const issue of issuesOf(result.error, servingSettingsSchema)) {
      context.addIssue({ code: "custom", path: [...issue.path], message: issue.message });
    }
  });
