import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import {
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  canonicalJson,
  isMillraceError,
  MANIFEST_FILE,
  MillraceError,
  messageOf,
  parse,
  type SnapshotManifest,
  snapshotManifestSchema,
} from "@millrace/core";
import { copyPackages, type ExternalPackage } from "./packages.ts";

const STAGING = "staging";
/** What is older than this in the staging folder was left by a process that died. */
const ABANDONED_MS = 3_600_000;

export function digestOf(content: Uint8Array | string): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}

/** A snapshot's id: the digest of its manifest. */
export function snapshotId(manifest: SnapshotManifest): string {
  return digestOf(canonicalJson(manifest));
}

/**
 * Snapshots as folders named after their digest. A folder is written under another name, flushed, and moved into place, so
 * it is whole or not there.
 */
export class ArtifactStore {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** Folder of a snapshot: its bundle and manifest. */
  directory(id: string): string {
    return join(this.#root, "snapshots", id.replace(/^sha256:/, ""));
  }

  /** Folder to run a snapshot from: the same, with its external packages where it has some. */
  runDirectory(id: string, manifest: SnapshotManifest): string {
    return Object.keys(manifest.externals).length === 0
      ? this.directory(id)
      : join(this.#root, "bundles", id.replace(/^sha256:/, ""));
  }

  /** The same, once it is known to be there. @throws MillraceError `SNAPSHOT_GONE` */
  folderToRun(id: string, manifest: SnapshotManifest): string {
    const folder = this.runDirectory(id, manifest);
    if (existsSync(join(folder, MANIFEST_FILE))) return folder;
    throw this.#gone(id);
  }

  /** True when the snapshot is there, whether or not it is as it was stored. */
  has(id: string): boolean {
    return existsSync(join(this.directory(id), MANIFEST_FILE));
  }

  /** Writes a bundle to a folder of its own, for the compiler, and gives what to do when it is done. */
  async stage(
    files: ReadonlyMap<string, Uint8Array>,
    externals: readonly ExternalPackage[],
  ): Promise<{ readonly directory: string; readonly discard: () => Promise<void> }> {
    const directory = join(this.#root, STAGING, randomUUID());
    await guarded(directory, async () => {
      await writeFiles(directory, files);
      for (const { name, directory: installed } of externals) {
        const link = join(directory, "node_modules", name);
        await mkdir(dirname(link), { recursive: true });
        await symlink(installed, link, "dir");
      }
    });
    return { directory, discard: () => rm(directory, { recursive: true, force: true }) };
  }

  /** True when every file is there with the content that was stored, external packages included as a whole. */
  async isIntact(id: string): Promise<boolean> {
    try {
      const manifest = await this.verify(id);
      return existsSync(join(this.runDirectory(id, manifest), MANIFEST_FILE));
    } catch (error) {
      if (isMillraceError(error)) return false;
      throw error;
    }
  }

  /** Stores a snapshot. One that is there and intact is left as it is. */
  async put(
    manifest: SnapshotManifest,
    files: ReadonlyMap<string, Uint8Array>,
    externals: readonly ExternalPackage[],
  ): Promise<string> {
    const id = snapshotId(manifest);
    const whole = new Map<string, Uint8Array>([
      ...files,
      [MANIFEST_FILE, Buffer.from(canonicalJson(manifest))],
    ]);
    await this.#sweep();
    if (await this.isIntact(id)) return id;
    const run = this.runDirectory(id, manifest);
    if (externals.length > 0) {
      const fill = async (directory: string): Promise<void> => {
        await writeFiles(directory, whole);
        await copyPackages(externals, directory);
      };
      await this.#place(run, fill, async () => existsSync(join(run, MANIFEST_FILE)));
    }
    // Last, because its presence tells that there is a snapshot.
    await this.#place(
      this.directory(id),
      (directory) => writeFiles(directory, whole),
      () => this.isIntact(id),
    );
    return id;
  }

  /** Fills a folder elsewhere and moves it into place; `isWhole` tells of a folder that is there already. */
  async #place(
    target: string,
    fill: (directory: string) => Promise<void>,
    isWhole: () => Promise<boolean>,
  ): Promise<void> {
    const directory = join(this.#root, STAGING, randomUUID());
    await guarded(directory, async () => {
      await fill(directory);
      await mkdir(dirname(target), { recursive: true, mode: 0o700 });
      await moveInto(directory, target, isWhole);
      await syncFolder(dirname(target));
    });
  }

  /** Removes what processes left that died while they wrote. */
  async #sweep(): Promise<void> {
    const staging = join(this.#root, STAGING);
    for (const name of existsSync(staging) ? await readdir(staging) : []) {
      const folder = join(staging, name);
      const age = Date.now() - ((await stat(folder).catch(() => undefined))?.mtimeMs ?? Date.now());
      if (age > ABANDONED_MS) await rm(folder, { recursive: true, force: true });
    }
  }

  /** @throws MillraceError `SNAPSHOT_GONE`, `SNAPSHOT_CORRUPT`, `SNAPSHOT_INVALID` */
  async manifest(id: string): Promise<SnapshotManifest> {
    const file = join(this.directory(id), MANIFEST_FILE);
    let text: string;
    try {
      text = await readFile(file, "utf8");
    } catch (cause) {
      throw this.#gone(id, cause);
    }
    if (digestOf(text) !== id) throw corrupt(id, MANIFEST_FILE);
    return parse(snapshotManifestSchema, JSON.parse(text), {
      what: `The manifest of snapshot ${id}`,
      code: "SNAPSHOT_INVALID",
      action: "It was made by another version of Millrace: create the snapshot again.",
    });
  }

  #gone(id: string, cause?: unknown): MillraceError {
    return new MillraceError({
      class: "not_found",
      code: "SNAPSHOT_GONE",
      message: `The files of snapshot ${id} are not in ${this.#root}.`,
      action: "Create the snapshot again from its source.",
      cause,
    });
  }

  /** Compares every file with its digest. @throws MillraceError `SNAPSHOT_GONE`, `SNAPSHOT_CORRUPT`, `SNAPSHOT_INVALID` */
  async verify(id: string): Promise<SnapshotManifest> {
    const manifest = await this.manifest(id);
    for (const [path, { digest }] of Object.entries(manifest.files)) {
      const content = await readFile(join(this.directory(id), path)).catch(() => undefined);
      if (content === undefined || digestOf(content) !== digest) throw corrupt(id, path);
    }
    return manifest;
  }

  async delete(id: string): Promise<void> {
    for (const kind of ["snapshots", "bundles"]) {
      await rm(join(this.#root, kind, id.replace(/^sha256:/, "")), {
        recursive: true,
        force: true,
      });
    }
  }
}

async function writeFiles(
  directory: string,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  for (const [path, content] of files) {
    const file = join(directory, path);
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await writeFile(file, content, { flush: true });
  }
  await syncFolder(directory);
}

async function syncFolder(directory: string): Promise<void> {
  const folder = await open(directory);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Moves a finished folder into place. One that is there already stays when it is whole, and makes way when it is damaged. */
async function moveInto(
  directory: string,
  target: string,
  isWhole: () => Promise<boolean>,
): Promise<void> {
  for (;;) {
    try {
      return await rename(directory, target);
    } catch (error) {
      if (!existsSync(target)) throw error;
    }
    if (await isWhole()) return rm(directory, { recursive: true });
    const damaged = `${directory}.damaged`;
    await rename(target, damaged).catch(ignoreMissing);
    await rm(damaged, { recursive: true, force: true });
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}

/** Leaves nothing behind when the disk is full or the folder cannot be written. */
async function guarded(directory: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    await rm(directory, { recursive: true, force: true });
    throw new MillraceError({
      class: "usage",
      code: "ARTIFACTS_UNWRITABLE",
      message: `The snapshot could not be stored: ${messageOf(cause)}.`,
      action:
        "Make room on the disk, or choose another folder as `store.artifacts` in millrace.config.ts.",
      cause,
    });
  }
}

function corrupt(id: string, path: string): MillraceError {
  return new MillraceError({
    class: "conflict",
    code: "SNAPSHOT_CORRUPT",
    message: `The file ${path} of snapshot ${id} was changed after it was stored.`,
    action: "Delete the snapshot and create it again from its source.",
  });
}
