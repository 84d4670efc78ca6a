import { z } from "zod";
import { servingSettingsSchema } from "./serving-settings.ts";

/** Environment variable that carries the service's configuration as JSON. It holds no secret. */
export const SERVICE_CONFIG_VARIABLE = "MILLRACE_CONFIG";
/** Environment variable that names the folder with one file (mode 0600) per secret. */
export const SECRETS_DIRECTORY_VARIABLE = "MILLRACE_SECRETS_DIR";
/**
 * Environment variable for a service that does not listen where clients reach it, as in a container: the address that its
 * port is published on. Loopback there needs no key, whatever HOST is.
 */
export const PUBLISHED_HOST_VARIABLE = "MILLRACE_PUBLISHED_HOST";
/**
 * Secret that carries the URL of a store on PostgreSQL, which may hold a password. Environment variable of the same meaning
 * for the command.
 */
export const STORE_URL_SECRET = "MILLRACE_STORE_URL";

/** How long what a service still does after its drain may take, in seconds. */
export const SERVICE_END_SECONDS = {
  /** Aborted runs are recorded and answered. */
  answers: 3,
  /** `onCleanup`. */
  cleanup: 10,
  /** The last runs go to the store or the spool. */
  records: 10,
  /** The last lines go to the reader of the log. */
  log: 1,
} as const;

/**
 * How long a service may take to end on top of `drainSeconds`: all of that, and a second for the process itself. Whoever kills
 * it earlier may cut off `onCleanup` and lose runs.
 */
export const SERVICE_END_ALLOWANCE_SECONDS: number = Object.values(
  SERVICE_END_SECONDS,
).reduce<number>((sum, seconds) => sum + seconds, 1);

/** Everything that a deployment's process must know beside its snapshot. Made by control, passed on by the deployer. */
export const serviceConfigSchema = z.strictObject({
  deployment: z.strictObject({
    id: z.string(),
    name: z.string(),
    project: z.string(),
    projectId: z.string(),
  }),
  snapshot: z.strictObject({ id: z.string(), name: z.string().nullable() }),
  revision: z.string(),
  serving: servingSettingsSchema.omit({ authKey: true, generateAuthKey: true }),
  /** SHA-256 of the key, hexadecimal; null serves without a key. */
  authKeyHash: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullable(),
  /** Where runs are recorded; null writes them as structured log lines. */
  store: z.union([
    z.strictObject({ kind: z.literal("sqlite"), file: z.string(), spoolDirectory: z.string() }),
    z.strictObject({
      kind: z.literal("postgres"),
      urlSecret: z.string(),
      spoolDirectory: z.string(),
    }),
    z.null(),
  ]),
});

export type ServiceConfig = z.output<typeof serviceConfigSchema>;
