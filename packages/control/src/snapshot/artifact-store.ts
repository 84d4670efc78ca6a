import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, open, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  canonicalJson,
  MANIFEST_FILE,
  MillraceError,
  messageOf,
  parse,
  type SnapshotManifest,
  snapshotManifestSchema,
} from "@millrace/core";
import { copyPackages, type ExternalPackage } from "./external-packages.ts";

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

  has(id: string): boolean {
    return existsSync(join(this.directory(id), MANIFEST_FILE));
  }

  /** Writes a bundle to a folder of its own, for the compiler, and gives what to do when it is done. */
  async stage(
    files: ReadonlyMap<string, Uint8Array>,
    externals: readonly ExternalPackage[],
  ): Promise<{ readonly directory: string; readonly discard: () => Promise<void> }> {
    const directory = join(this.#root, "staging", randomUUID());
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

  /** Stores a snapshot. One that is there already is left as it is. */
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
    if (!this.has(id))
      await this.#place(this.directory(id), (directory) => writeFiles(directory, whole));
    const run = this.runDirectory(id, manifest);
    if (externals.length > 0 && !existsSync(join(run, MANIFEST_FILE))) {
      await this.#place(run, async (directory) => {
        await writeFiles(directory, whole);
        await copyPackages(externals, directory);
      });
    }
    return id;
  }

  async #place(target: string, fill: (directory: string) => Promise<void>): Promise<void> {
    const directory = join(this.#root, "staging", randomUUID());
    await guarded(directory, async () => {
      await fill(directory);
      await mkdir(dirname(target), { recursive: true, mode: 0o700 });
      try {
        await rename(directory, target);
      } catch (error) {
        // Another process stored the same snapshot in the meantime.
        if (!existsSync(join(target, MANIFEST_FILE))) throw error;
        await rm(directory, { recursive: true, force: true });
      }
    });
  }

  /** @throws MillraceError `SNAPSHOT_GONE`, `SNAPSHOT_CORRUPT`, `SNAPSHOT_INVALID` */
  async manifest(id: string): Promise<SnapshotManifest> {
    const file = join(this.directory(id), MANIFEST_FILE);
    let text: string;
    try {
      text = await readFile(file, "utf8");
    } catch (cause) {
      throw new MillraceError({
        class: "not_found",
        code: "SNAPSHOT_GONE",
        message: `The files of snapshot ${id} are not in ${this.#root}.`,
        action: "Create the snapshot again from its source.",
        cause,
      });
    }
    if (digestOf(text) !== id) throw corrupt(id, MANIFEST_FILE);
    return parse(snapshotManifestSchema, JSON.parse(text), {
      what: `The manifest of snapshot ${id}`,
      code: "SNAPSHOT_INVALID",
      action: "It was made by another version of Millrace: create the snapshot again.",
    });
  }

  /** Compares every file with its digest. @throws MillraceError `SNAPSHOT_CORRUPT` */
  async verify(id: string): Promise<void> {
    for (const [path, { digest }] of Object.entries((await this.manifest(id)).files)) {
      const content = await readFile(join(this.directory(id), path)).catch(() => undefined);
      if (content === undefined || digestOf(content) !== digest) throw corrupt(id, path);
    }
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
  const folder = await open(directory);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
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
