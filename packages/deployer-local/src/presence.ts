import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { parseJson } from "./json-text.ts";
import type { ProcessIdentity } from "./process-identity.ts";
import { isErrorCode } from "./system-error.ts";

const presenceSchema = z.strictObject({ pid: z.int(), startTime: z.string().nullable() });

/**
 * Says which process is a deployment's supervisor. It stands beside the deployment's folder and not inside, so that a
 * supervisor whose folder was deleted can still be found.
 */
export function writePresence(file: string, { pid, startTime }: ProcessIdentity): void {
  writeFileSync(file, JSON.stringify({ pid, startTime }), { mode: 0o600 });
}

/** Null when there is none, or one that cannot be understood: then nobody is known. */
export function readPresence(file: string): ProcessIdentity | null {
  try {
    return presenceSchema.safeParse(parseJson(readFileSync(file, "utf8"))).data ?? null;
  } catch (error) {
    if (isErrorCode(error, "ENOENT", "ENOTDIR")) return null;
    throw error;
  }
}

export function removePresence(file: string): void {
  rmSync(file, { force: true });
}
