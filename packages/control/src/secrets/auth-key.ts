import { createHash, randomBytes } from "node:crypto";
import { Secret, type ServingSettings } from "@millrace/core";
import type { SecretFile } from "./secret-file.ts";

/**
 * Name of a deployment's key in the secret store. The digest is part of it, so that an update that fails leaves the key of
 * the service that still serves.
 */
export function authKeyName(deploymentId: string, hash: string): string {
  return `${authKeyPrefix(deploymentId)}${hash}`;
}

function authKeyPrefix(deploymentId: string): string {
  return `deployment/${deploymentId}/auth-key/`;
}

/** Forgets every key of a deployment, but for the one with the given digest. */
export async function forgetAuthKeys(
  deploymentId: string,
  store: SecretFile,
  except: string | null,
): Promise<void> {
  const kept = except === null ? null : authKeyName(deploymentId, except);
  for (const name of await store.names()) {
    if (name.startsWith(authKeyPrefix(deploymentId)) && name !== kept) await store.delete(name);
  }
}

/** SHA-256 in hexadecimal: all that the service and the record know of a key. */
export function hashAuthKey(key: Secret): string {
  return createHash("sha256").update(key.reveal()).digest("hex");
}

/** 256 bits from the system's generator. */
function generateAuthKey(): Secret {
  return new Secret(randomBytes(32).toString("base64url"));
}

/** What decides about a deployment's key. */
export interface AuthKeyInput {
  readonly deploymentId: string;
  readonly serving: ServingSettings;
  /** Digest of the key that the deployment has now. */
  readonly currentHash: string | null;
  /** False for a plan: nothing is written. */
  readonly keep: boolean;
}

/** The key that a deployment shall have; null serves without one. A generated key is made once and kept. */
export async function wantedAuthKey(
  { deploymentId, serving, currentHash, keep }: AuthKeyInput,
  store: SecretFile,
): Promise<Secret | null> {
  if (serving.authKey === undefined && !serving.generateAuthKey) return null;
  const current =
    currentHash === null ? null : await store.get(authKeyName(deploymentId, currentHash));
  const key =
    serving.authKey !== undefined ? new Secret(serving.authKey) : (current ?? generateAuthKey());
  if (keep) await store.set(authKeyName(deploymentId, hashAuthKey(key)), key);
  return key;
}
