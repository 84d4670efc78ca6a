import { isIP } from "node:net";
import { z } from "zod";

const port = z.int().min(1).max(65_535);

/** What a stack config says of a deployer of flavor `local`. */
export const settingsSchema = z.strictObject({
  host: z
    .string()
    .refine((host) => isIP(host) !== 0, "must be an IP address, such as 127.0.0.1 or ::1")
    .default("127.0.0.1")
    .meta({
      description:
        "IP address to listen on; 0.0.0.0 and :: mean every interface. Beyond loopback a key is needed, or allowUnauthenticated.",
    }),
  port: port.optional().meta({
    description:
      "Port to listen on. Default: the deployment's previous port, else one of the range.",
  }),
  portRange: z
    .tuple([port, port])
    .refine(([from, to]) => from <= to, "must begin with the lower port")
    .default([8000, 8999])
    .meta({ description: "First and last port to choose from when none is configured." }),
  portFallback: z.boolean().default(false).meta({
    description: "Takes a port of the range when the configured or previous one is in use.",
  }),
  workers: z
    .int()
    .min(1)
    .max(256)
    .default(1)
    .meta({ description: "Processes that answer requests on the same port." }),
  startTimeoutSeconds: z.number().positive().max(7200).optional().meta({
    description: "How long a worker may take to be ready. Default: initTimeoutSeconds + 30.",
  }),
  silenceTimeoutSeconds: z.number().min(1).max(3600).default(30).meta({
    description:
      "How long a worker may not answer its supervisor, because code holds its thread, before it is replaced.",
  }),
  maxRestartDelaySeconds: z
    .number()
    .min(0.1)
    .max(3600)
    .default(30)
    .meta({ description: "Longest pause before a crashed worker is started again." }),
  logMaxBytes: z
    .int()
    .min(65_536)
    .max(1_073_741_824)
    .default(10_485_760)
    .meta({ description: "Size at which a log file is closed and the next one begun." }),
  logFiles: z
    .int()
    .min(2)
    .max(100)
    .default(5)
    .meta({ description: "Log files that are kept; the oldest is deleted." }),
});

export type LocalSettings = z.output<typeof settingsSchema>;
