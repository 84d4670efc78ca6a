import { readFile } from "node:fs/promises";
import { parseEnv } from "node:util";
import { MillraceError, Secret } from "@millrace/core";
import type { SecretFile } from "./secret-file.ts";

export interface SecretPlaces {
  readonly environment: NodeJS.ProcessEnv;
  readonly envFile: string;
  readonly store: SecretFile;
}

/**
 * The values of the named secrets: from the environment, else the .env file, else the secret store. One that is empty there
 * is looked for in the next place.
 * @throws MillraceError `SECRET_MISSING` naming all that have no value.
 */
export async function secretValues(
  names: readonly string[],
  places: SecretPlaces,
): Promise<Readonly<Record<string, Secret>>> {
  if (names.length === 0) return {};
  const file = await readEnvFile(places.envFile);
  const values = new Map<string, Secret>();
  const missing: string[] = [];
  for (const name of names) {
    const plain = given(places.environment, name) ?? given(file, name);
    const value = plain === undefined ? await places.store.get(name) : new Secret(plain);
    if (value === null) missing.push(name);
    else values.set(name, value);
  }
  if (missing.length === 0) return Object.fromEntries(values);
  throw new MillraceError({
    class: "usage",
    code: "SECRET_MISSING",
    message: `The pipeline needs ${missing.length === 1 ? "a secret that has" : "secrets that have"} no value: ${missing.join(", ")}.`,
    action: `Set an environment variable, a line in ${places.envFile}, or run: npx millrace secret set ${missing[0]}`,
    details: { missing },
  });
}

/** A variable that is set to nothing counts as not given. */
function given(variables: NodeJS.Dict<string>, name: string): string | undefined {
  return Object.hasOwn(variables, name) ? variables[name] || undefined : undefined;
}

async function readEnvFile(file: string): Promise<NodeJS.Dict<string>> {
  try {
    return parseEnv(await readFile(file, "utf8"));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return {};
    throw new MillraceError({
      class: "usage",
      code: "ENV_FILE_UNREADABLE",
      message: `The file ${file} cannot be read.`,
      action:
        "Correct its permissions, or name another one as `secrets.env` in millrace.config.ts.",
      cause: error,
    });
  }
}
