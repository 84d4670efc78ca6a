import { existsSync } from "node:fs";
import { mkdir, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { onDisk } from "./cache.ts";

const DAY_MS = 24 * 60 * 60_000;
const UNUSED_DAYS = 30;
/** What a process left behind that was ended while it wrote. */
const LEFTOVER_DAYS = 1;

/** Folders whose entries are used, and go, one by one. */
const FOLDERS = ["blobs", "blobs/sha256", "dependencies", "layers", "tags", "seen"];

async function ageInDays(path: string, now: number): Promise<number> {
  return (now - (await stat(path)).mtimeMs) / DAY_MS;
}

async function pruneFolder(folder: string, now: number): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.name === "sha256") continue;
    const limit = entry.name.endsWith(".part") ? LEFTOVER_DAYS : UNUSED_DAYS;
    try {
      if ((await ageInDays(path, now)) > limit) await rm(path, { recursive: true, force: true });
    } catch {
      // Another process was faster, or holds it: then it goes another day.
    }
  }
}

/**
 * Deletes what nobody has used for a month from an image cache. Looks at most once a day; otherwise it costs one look at
 * a file's time.
 */
export async function prune(directory: string, now = Date.now()): Promise<void> {
  const marker = join(directory, "pruned");
  if (existsSync(marker) && (await ageInDays(marker, now)) < 1) return;
  await onDisk(directory, mkdir(directory, { recursive: true }));
  await onDisk(directory, writeFile(marker, ""));
  await utimes(marker, now / 1000, now / 1000);
  for (const folder of FOLDERS.map((name) => join(directory, name)))
    if (existsSync(folder)) await pruneFolder(folder, now);
}
