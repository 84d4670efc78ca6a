import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  MillraceError,
  messageOf,
  parse,
  SECRETS_DIRECTORY_VARIABLE,
  SERVICE_CONFIG_VARIABLE,
  Secret,
  type ServiceConfig,
  serviceConfigSchema,
} from "@millrace/core";
import type { RunStore } from "@millrace/store";

/** What a process of a deployment is told from outside. */
export interface Environment {
  readonly config: ServiceConfig;
  /** By name. Read once: the folder may be removed afterwards. */
  readonly secrets: ReadonlyMap<string, Secret>;
}

type Variables = Readonly<Record<string, string | undefined>>;

/** Kept for the last words of a process that could not start: they must hold none of them. */
let given: readonly Secret[] = [];

/** The secrets that this process has read. */
export function givenSecrets(): readonly Secret[] {
  return given;
}

/**
 * Reads the configuration and the secrets.
 * @throws MillraceError `SERVICE_CONFIG_MISSING`, `SERVICE_CONFIG_INVALID`, `SECRETS_UNREADABLE`
 */
export async function readEnvironment(variables: Variables): Promise<Environment> {
  const config = readConfig(variables);
  const secrets = await readSecrets(variables);
  given = [...secrets.values()];
  return { config, secrets };
}

function readConfig(variables: Variables): ServiceConfig {
  const text = variables[SERVICE_CONFIG_VARIABLE];
  if (text === undefined || text === "") {
    throw new MillraceError({
      class: "usage",
      code: "SERVICE_CONFIG_MISSING",
      message: `The environment variable ${SERVICE_CONFIG_VARIABLE} is not set.`,
      action:
        "Start this program through `millrace`, or set the variable to the service's configuration as JSON.",
    });
  }
  return parse(serviceConfigSchema, jsonOf(text), {
    what: SERVICE_CONFIG_VARIABLE,
    code: "SERVICE_CONFIG_INVALID",
  });
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new MillraceError({
      class: "usage",
      code: "SERVICE_CONFIG_INVALID",
      message: `${SERVICE_CONFIG_VARIABLE} is not JSON: ${messageOf(cause)}.`,
      action: "Set it to the service's configuration as JSON.",
      cause,
    });
  }
}

async function readSecrets(variables: Variables): Promise<ReadonlyMap<string, Secret>> {
  const directory = variables[SECRETS_DIRECTORY_VARIABLE];
  if (directory === undefined || directory === "") return new Map();
  try {
    const files = (await readdir(directory, { withFileTypes: true }))
      // Mounted secret folders hold `..data` links and the like beside the secrets.
      .filter((entry) => !entry.isDirectory() && !entry.name.startsWith("."));
    return new Map(
      await Promise.all(
        files.map(async ({ name }): Promise<[string, Secret]> => {
          return [name, new Secret(await readFile(join(directory, name), "utf8"))];
        }),
      ),
    );
  } catch (cause) {
    throw new MillraceError({
      class: "usage",
      code: "SECRETS_UNREADABLE",
      message: `The folder of secrets cannot be read: ${messageOf(cause)}.`,
      action: `Check the folder that ${SECRETS_DIRECTORY_VARIABLE} names, and its mode.`,
      cause,
    });
  }
}

/**
 * Where runs are recorded. The URL of a database may hold a password: it comes as a secret.
 * @throws MillraceError `SECRET_MISSING`
 */
export function runStoreOf({ config: { store }, secrets }: Environment): RunStore | null {
  if (store === null || store.kind === "sqlite") return store;
  const { kind, urlSecret, spoolDirectory } = store;
  const url = secrets.get(urlSecret);
  if (url !== undefined) return { kind, url, spoolDirectory };
  throw new MillraceError({
    class: "usage",
    code: "SECRET_MISSING",
    message: `The service records its runs in the store that the secret ${urlSecret} names, which this process was not given.`,
    action: `Put the store's URL into a file ${urlSecret} in the folder that ${SECRETS_DIRECTORY_VARIABLE} names, or deploy again.`,
  });
}

/** Gives a pipeline the secrets that it declared, and no other. */
export function secretReader(
  declared: readonly string[],
  secrets: ReadonlyMap<string, Secret>,
): (name: string) => Secret {
  const missing = declared.filter((name) => !secrets.has(name));
  if (missing.length > 0) {
    throw new MillraceError({
      class: "usage",
      code: "SECRET_MISSING",
      message: `The pipeline needs ${missing.join(", ")}, which this process was not given.`,
      action:
        "Put the secret into the environment, the .env file or the secret store, and deploy again.",
    });
  }
  return (name) => {
    const secret = declared.includes(name) ? secrets.get(name) : undefined;
    if (secret !== undefined) return secret;
    throw new MillraceError({
      class: "pipeline",
      code: "SECRET_NOT_DECLARED",
      message: `The pipeline does not declare a secret named ${JSON.stringify(name)}.`,
      action: "Add the name to `secrets` of definePipeline, and deploy again.",
    });
  };
}
