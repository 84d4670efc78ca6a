import { createHmac } from "node:crypto";
import type { Secret } from "@millrace/core";

/** By which a plan compares a secret with the one that is in use, without either leaving its process. */
export function secretDigest(key: Buffer, secret: Secret): string {
  return createHmac("sha256", key).update(secret.reveal()).digest("hex");
}
