import { createHash, randomBytes } from "node:crypto";
import { Secret, type ServingSettings } from "@millrace/core";
import type { SecretFile } from "./secret-file.ts";

/** Name of a deployment's key in the secret store. */
export const authKeyName = (deploymentId: string): string => `deployment/${deploymentId}/auth-key`;

/** SHA-256 in hexadecimal: all that the service and the record know of a key. */
export function hashAuthKey(key: Secret): string {
  return createHash("sha256").update(key.reveal()).digest("hex");
}

/** 256 bits from the system's generator. */
function generateAuthKey(): Secret {
  return new Secret(randomBytes(32).toString("base64url"));
}

/**
 * The key that a deployment shall have; null serves without one. A generated key is made once and kept. With `keep` it is
 * written to the secret store; without, as for a plan, nothing changes.
 */
export async function wantedAuthKey(
  deploymentId: string,
  serving: ServingSettings,
  store: SecretFile,
  keep: boolean,
): Promise<Secret | null> {
  const name = authKeyName(deploymentId);
  if (serving.authKey !== undefined) {
    const key = new Secret(serving.authKey);
    if (keep) await store.set(name, key);
    return key;
  }
  if (!serving.generateAuthKey) return null;
  const known = await store.get(name);
  if (known !== null) return known;
  const key = generateAuthKey();
  if (keep) await store.set(name, key);
  return key;
}
