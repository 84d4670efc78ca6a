/** The stack that exists without any file: the local deployer. The one place that names a flavor's package. */
export const BUILT_IN = {
  plugin: "@millrace/deployer-local",
  deployer: "default",
  flavor: "local",
  stack: "default",
  project: "default",
} as const;

/** Configuration files in order of preference. */
export const CONFIG_FILES = [
  "millrace.config.ts",
  "millrace.config.mts",
  "millrace.config.js",
  "millrace.config.mjs",
  "millrace.config.json",
] as const;

export const STATE_FOLDER = ".millrace";
