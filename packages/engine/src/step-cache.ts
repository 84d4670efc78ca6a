import { createHash } from "node:crypto";
import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { canonicalJson, makeFolder } from "@millrace/core";

/** Keeps outputs of steps as JSON text. A cache that fails only costs time. */
export interface StepCache {
  /** The text, or undefined when there is none or it is too old. */
  get(key: string): string | undefined | Promise<string | undefined>;
  set(key: string, text: string, ttlSeconds: number): void | Promise<void>;
}

/**
 * The key of a step's output: a digest of snapshot, step and input. Undefined when the input is no plain JSON value, for
 * then two different inputs could have one text.
 */
export function cacheKey(snapshotId: string, step: string, input: unknown): string | undefined {
  if (!isJson(input)) return undefined;
  return createHash("sha256")
    .update(canonicalJson([snapshotId, step, input]))
    .digest("hex");
}

const MAX_DEPTH = 200;

/** True for what JSON carries without loss. Values nested deeper than 200 levels, or in a circle, are not. */
export function isJson(value: unknown, depth = 0): boolean {
  if (depth > MAX_DEPTH) return false;
  switch (typeof value) {
    case "string":
    case "boolean":
      return true;
    case "number":
      return Number.isFinite(value);
    case "object": {
      if (value === null) return true;
      if (Array.isArray(value)) return value.every((item) => isJson(item, depth + 1));
      const prototype: unknown = Object.getPrototypeOf(value);
      if (prototype !== Object.prototype && prototype !== null) return false;
      return Object.values(value).every(
        (member) => member === undefined || isJson(member, depth + 1),
      );
    }
    default:
      return false;
  }
}

interface Entry {
  readonly text: string;
  readonly expiresAt: number;
}

/** What an entry takes beside its two texts, in characters: without it many small outputs would fill the memory. */
const ENTRY_CHARACTERS = 150;

/** Keeps the outputs that were used last, as many as take a number of characters with all that belongs to them. Default 64 Mi. */
export function memoryStepCache(maxCharacters = 64 * 1024 * 1024): StepCache {
  // A Map keeps its order of insertion: the first entry is the one used longest ago.
  const entries = new Map<string, Entry>();
  let characters = 0;
  const sizeOf = (key: string, text: string): number => key.length + text.length + ENTRY_CHARACTERS;
  const remove = (key: string, { text }: Entry): void => {
    entries.delete(key);
    characters -= sizeOf(key, text);
  };
  return {
    get(key) {
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      if (entry.expiresAt <= Date.now()) {
        remove(key, entry);
        return undefined;
      }
      entries.delete(key);
      entries.set(key, entry);
      return entry.text;
    },
    set(key, text, ttlSeconds) {
      const size = sizeOf(key, text);
      if (size > maxCharacters) return;
      const old = entries.get(key);
      if (old !== undefined) remove(key, old);
      entries.set(key, { text, expiresAt: Date.now() + ttlSeconds * 1000 });
      characters += size;
      for (const [oldest, entry] of entries) {
        if (characters <= maxCharacters) break;
        remove(oldest, entry);
      }
    },
  };
}

/**
 * Keeps outputs in a folder, one file each, for batch runs that are processes of their own. Files that are too old are
 * removed when they are met, and all of them once per process.
 */
export function folderStepCache(directory: string): StepCache {
  let swept = false;
  return {
    async get(key) {
      const entry = await readEntry(join(directory, key));
      if (entry === undefined) return undefined;
      if (entry.expiresAt > Date.now()) return entry.text;
      // In a folder that may only be read it stays, and is too old the next time as well.
      await rm(join(directory, key), { force: true }).catch(() => undefined);
      return undefined;
    },
    async set(key, text, ttlSeconds) {
      makeFolder(directory);
      const file = join(directory, key);
      const written = `${file}.${process.pid}.new`;
      const entry: Entry = { text, expiresAt: Date.now() + ttlSeconds * 1000 };
      // Written apart and renamed, so that no other process reads half a file.
      await writeFile(written, JSON.stringify(entry), { mode: 0o600 });
      await rename(written, file);
      if (swept) return;
      swept = true;
      await sweep(directory);
    },
  };
}

async function readEntry(file: string): Promise<Entry | undefined> {
  try {
    const entry: unknown = JSON.parse(await readFile(file, "utf8"));
    return isEntry(entry) ? entry : undefined;
  } catch {
    // Missing, or damaged: the step runs and writes it anew.
    return undefined;
  }
}

function isEntry(value: unknown): value is Entry {
  return (
    typeof value === "object" &&
    value !== null &&
    "text" in value &&
    typeof value.text === "string" &&
    "expiresAt" in value &&
    typeof value.expiresAt === "number"
  );
}

async function sweep(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!/^[0-9a-f]{64}$/.test(name)) continue;
    const entry = await readEntry(join(directory, name));
    if (entry !== undefined && entry.expiresAt <= Date.now())
      await rm(join(directory, name), { force: true });
  }
}
