import { z } from "zod";
import type { Plugin } from "./deployer.ts";
import { servingSettingsInputSchema } from "./serving-settings.ts";

const name = z.string().min(1).max(128);

function isPlugin(value: unknown): value is Plugin {
  return (
    typeof value === "object" &&
    value !== null &&
    "contract" in value &&
    "flavors" in value &&
    "name" in value &&
    typeof value.name === "string"
  );
}

/** The form of `millrace.config.ts`, `.js` or `.json`. Every key is optional. */
export const configSchema = z.strictObject({
  project: name
    .optional()
    .meta({ description: "Project that everything belongs to. Default `default`." }),
  plugins: z
    .array(
      z.union([
        z.string().min(1),
        z.custom<Plugin>(isPlugin, "must be a package name or a plugin object"),
      ]),
    )
    .optional()
    .meta({ description: "npm packages that provide deployer flavors." }),
  deployers: z
    .record(
      name,
      z.strictObject({
        flavor: name,
        settings: z.record(z.string(), z.json()).optional(),
        serving: servingSettingsInputSchema.optional(),
      }),
    )
    .optional()
    .meta({
      description: "Deployers by name: flavor, settings of the flavor, and how deployments serve.",
    }),
  stacks: z
    .record(name, z.strictObject({ deployer: name }))
    .optional()
    .meta({ description: "Stacks by name." }),
  stack: name.optional().meta({ description: "The active stack. Default `default`." }),
  store: z
    .strictObject({
      url: z.string().optional().meta({
        description:
          "`file:` URL of an SQLite file, or `postgres:` URL of a database. Default: millrace.db in the state folder.",
      }),
      artifacts: z
        .string()
        .optional()
        .meta({ description: "Folder of the snapshots. Default: artifacts in the state folder." }),
    })
    .optional(),
  secrets: z
    .strictObject({
      file: z.string().optional().meta({
        description:
          "Secret store: a file of mode 0600. Default: secrets.json in the state folder.",
      }),
      env: z.string().optional().meta({
        description:
          "A .env file that is read for secret values. Default: .env beside the config file.",
      }),
    })
    .optional(),
});

export type Config = z.input<typeof configSchema>;

/** Types a configuration file. */
export function defineConfig(config: Config): Config {
  return config;
}
