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
  /** True when `generateAuthKey` was given, and is not just its default: false then takes a key away. */
  readonly isExplicit: boolean;
  /** Digest of the key that the deployment has now. */
  readonly currentHash: string | null;
}

export interface WantedAuthKey {
  /** Null serves without one. */
  readonly hash: string | null;
  /** The key itself, where the secret store may not have it yet. */
  readonly key: Secret | null;
}

/**
 * The key that a deployment shall have. A key is generated once and kept: an update that says nothing of keys does not open
 * the service, whether or not the key itself is in this secret store. Nothing is written.
 */
export async function wantedAuthKey(
  { deploymentId, serving, isExplicit, currentHash }: AuthKeyInput,
  store: SecretFile,
): Promise<WantedAuthKey> {
  if (serving.authKey !== undefined) return withKey(new Secret(serving.authKey));
  if (!serving.generateAuthKey) return { hash: isExplicit ? null : currentHash, key: null };
  const current =
    currentHash === null ? null : await store.get(authKeyName(deploymentId, currentHash));
  return current === null ? withKey(generateAuthKey()) : { hash: currentHash, key: null };
}

function withKey(key: Secret): WantedAuthKey {
  return { hash: hashAuthKey(key), key };
}

/** Keeps a key, beside the one before, which serves until the update has succeeded. */
export async function keepAuthKey(
  deploymentId: string,
  key: Secret,
  store: SecretFile,
): Promise<void> {
  await store.set(authKeyName(deploymentId, hashAuthKey(key)), key);
}
