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
  const plainValue = await plainValues(places);
  const values = new Map<string, Secret>();
  const missing: string[] = [];
  for (const name of names) {
    const plain = plainValue(name);
    const value = plain === undefined ? await places.store.get(name) : new Secret(plain.value);
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

/** Which of the store's secrets have another value that goes before theirs, and where that stands. */
export async function hiddenSecrets(places: SecretPlaces): Promise<ReadonlyMap<string, string>> {
  const plainValue = await plainValues(places);
  return new Map(
    (await places.store.names()).flatMap((name) => {
      const plain = plainValue(name);
      return plain === undefined ? [] : [[name, plain.place] as const];
    }),
  );
}

/** Looks a name up in the environment, then in the .env file. */
async function plainValues({ environment, envFile }: SecretPlaces) {
  const file = await readEnvFile(envFile);
  return (name: string): { readonly value: string; readonly place: string } | undefined => {
    const value = given(environment, name);
    if (value !== undefined) return { value, place: "the environment" };
    const inFile = given(file, name);
    return inFile === undefined ? undefined : { value: inFile, place: envFile };
  };
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
