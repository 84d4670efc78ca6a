import { createHmac, randomBytes } from "node:crypto";
import { z } from "zod";
import type { FieldChange } from "./deployer.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "./json.ts";
import type { Secret } from "./secret.ts";
import { isSecretSetting } from "./secret-settings.ts";

/**
 * For a plan: what differs between two objects, each member by its path (`service.serving.tracking.mode`), sorted. Arrays are
 * compared as a whole. Of what carries a secret by its name it is only said that it differs.
 * @param hidden Paths of which it is only said that they differ.
 */
export function fieldChanges(
  before: JsonObject,
  after: JsonObject,
  hidden: readonly string[] = [],
): FieldChange[] {
  const [old, wanted] = [members(before), members(after)];
  return [...new Set([...old.keys(), ...wanted.keys()])].sort().flatMap((field) => {
    const [was, is] = [old.get(field), wanted.get(field)];
    if (JSON.stringify(was) === JSON.stringify(is)) return [];
    if (hidden.includes(field) || isSecretSetting(field)) return [{ field }];
    return [
      {
        field,
        ...(was === undefined ? {} : { before: was }),
        ...(is === undefined ? {} : { after: is }),
      },
    ];
  });
}

/** The values of an object that are no objects themselves, by their paths. */
function members(
  object: JsonObject,
  path: readonly string[] = [],
  into = new Map<string, JsonValue>(),
): Map<string, JsonValue> {
  for (const [name, value] of Object.entries(object)) {
    const here = [...path, name];
    if (isJsonObject(value)) members(value, here, into);
    else into.set(here.join("."), value);
  }
  return into;
}

/**
 * By which a plan compares secrets with those in use, without either leaving its place: HMAC-SHA-256 of each value, hexadecimal,
 * under a random key that is kept with them.
 */
export const secretDigestsSchema = z.strictObject({
  key: z.string(),
  digests: z.record(z.string(), z.string()),
});

export type SecretDigests = z.output<typeof secretDigestsSchema>;

type Secrets = Readonly<Record<string, Secret>>;

/** Digests to keep beside the secrets. @param key 32 bytes, hexadecimal; a new one by default. */
export function secretDigests(
  secrets: Secrets,
  key = randomBytes(32).toString("hex"),
): SecretDigests {
  const digest = (secret: Secret): string =>
    createHmac("sha256", Buffer.from(key, "hex")).update(secret.reveal()).digest("hex");
  const entries = Object.entries(secrets).map(([name, secret]) => [name, digest(secret)]);
  return { key, digests: Object.fromEntries(entries) };
}

/** For a plan: names of secrets that are added, removed or have another value; never a value. All, where nothing is known. */
export function secretChanges(known: SecretDigests | null, secrets: Secrets): FieldChange[] {
  const before = known?.digests ?? {};
  const after = known === null ? {} : secretDigests(secrets, known.key).digests;
  return [...new Set([...Object.keys(before), ...Object.keys(secrets)])]
    .sort()
    .filter((name) => before[name] === undefined || before[name] !== after[name])
    .map((name) => ({ field: `secrets.${name}` }));
}
