import { createReadStream } from "node:fs";
import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { isAbsolute, join, posix, relative, resolve, sep } from "node:path";
import { canonicalJson, MillraceError, messageOf } from "@millrace/core";
import pMap from "p-map";
import { single } from "./chunks.ts";
import { sha256, startMeter, verified } from "./digest.ts";
import type { TarEntry } from "./tar.ts";

/** A file of a layer. Owner and times are the same for all and cannot be chosen. */
export type LayerFile = {
  /** Where it lies in the image. */
  readonly path: string;
} & (
  | { readonly content: Uint8Array; readonly executable?: boolean }
  /** Absolute path of a regular file on this machine; it is executable when its owner may execute it. */
  | { readonly file: string }
  /** Text of a symbolic link. */
  | { readonly link: string }
  /** A folder that may have nothing in it. */
  | { readonly folder: true }
);

/** A file with what its bytes are known by. */
export interface KnownFile {
  readonly entry: TarEntry;
  /** Digest of a file's content; null for a link and a folder. */
  readonly digest: string | null;
}

/** Changes when the same files come to give other bytes: with the layout of the tar, or a compressor's version. */
const LAYER_FORMAT = 1;

const READ_BYTES = 1024 * 1024;
/** Files up to this size are read at once. */
const SMALL_BYTES = 4 * 1024 * 1024;
const FILES_AT_ONCE = 16;

function refused(path: string, why: string, cause?: unknown): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "LAYER_FILE_REFUSED",
    message: `${path} cannot be put into an image: ${why}.`,
    action: "Remove it from the folder, or leave it out.",
    details: { path },
    cause,
  });
}

/** Node gives bytes that are no UTF-8 as this character, and finds nothing by the name that it has made of them. */
const NO_TEXT = "\uFFFD";

function unreadable(path: string, cause: unknown): MillraceError {
  const why = path.includes(NO_TEXT) ? "its name is no UTF-8" : messageOf(cause);
  return refused(path, why, cause);
}

/** The path from a folder to what is in it, with `/`; null for what is not. */
export function pathWithin(folder: string, path: string): string | null {
  const inside = relative(folder, path).split(sep).join("/");
  return inside === ".." || inside.startsWith("../") || isAbsolute(inside) ? null : inside;
}

/** A file's path as a tar has it. */
function tarPath(path: string): string {
  const normal = posix.normalize(path.replace(/^\/+/, ""));
  if (normal === "." || normal.startsWith("../") || normal === ".." || normal.includes("\0"))
    throw refused(JSON.stringify(path), "its path leaves the image's root");
  return normal.replace(/\/$/, "");
}

async function digestOf(file: string, size: number): Promise<string> {
  if (size <= SMALL_BYTES) return sha256(await readFile(file));
  const meter = startMeter();
  for await (const chunk of createReadStream(file, { highWaterMark: READ_BYTES }))
    meter.add(chunk as Uint8Array);
  return meter.digest();
}

/** The bytes of a file that has been read before, and must not have changed since. */
function readAgain(file: string, digest: string): AsyncIterable<Uint8Array> {
  const bytes: AsyncIterable<Uint8Array> = createReadStream(file, { highWaterMark: READ_BYTES });
  return verified(bytes, digest, () => refused(file, "it changed while it was read"));
}

/** Reads a file, so that its content is known. */
async function know(file: LayerFile): Promise<KnownFile> {
  const path = tarPath(file.path);
  if ("folder" in file) return { entry: { path, kind: "directory" }, digest: null };
  if ("link" in file) return { entry: { path, kind: "link", target: file.link }, digest: null };
  if ("content" in file) {
    const { content, executable = false } = file;
    return {
      entry: { path, kind: "file", executable, size: content.length, open: () => single(content) },
      digest: sha256(content),
    };
  }
  const unreadableFile = (cause: unknown) => {
    throw unreadable(file.file, cause);
  };
  const found = await lstat(file.file).catch(unreadableFile);
  if (!found.isFile()) throw refused(file.file, "it is no regular file");
  const digest = await digestOf(file.file, found.size).catch(unreadableFile);
  const executable = (found.mode & 0o100) !== 0;
  const open = () => readAgain(file.file, digest);
  return { entry: { path, kind: "file", executable, size: found.size, open }, digest };
}

/** The folders that a path leads through, outermost first. */
function foldersOf(path: string): string[] {
  const folders = path.split("/").slice(0, -1);
  return folders.map((_, depth) => folders.slice(0, depth + 1).join("/"));
}

/** Reads all files, in the order in which a layer has them. */
export async function knowAll(
  files: readonly LayerFile[],
  signal: AbortSignal,
): Promise<readonly KnownFile[]> {
  const known = await pMap(files, know, { concurrency: FILES_AT_ONCE, signal });
  const sorted = known.sort((a, b) => (a.entry.path < b.entry.path ? -1 : 1));
  const twice = sorted.find(({ entry }, index) => entry.path === sorted[index - 1]?.entry.path);
  if (twice !== undefined) throw refused(twice.entry.path, "two files have this path");
  const folders = new Set(sorted.flatMap(({ entry }) => foldersOf(entry.path)));
  // What lies in a folder tells of it.
  const untold = sorted.filter(
    ({ entry }) => entry.kind !== "directory" || !folders.has(entry.path),
  );
  const both = untold.find(({ entry }) => folders.has(entry.path));
  if (both !== undefined) throw refused(both.entry.path, "it is a file and a folder of others");
  return untold;
}

/** Names what a layer of these files is made of: equal keys give equal layers. */
export function contentKey(files: readonly KnownFile[]): string {
  const listed = files.map(({ entry, digest }) => {
    if (entry.kind === "directory") return [entry.path, "folder"];
    if (entry.kind === "link") return [entry.path, "link", entry.target];
    return [entry.path, entry.executable ? "executable" : "file", digest];
  });
  return sha256(canonicalJson({ format: LAYER_FORMAT, files: listed }));
}

/** The files with the folders that they lie in, each before what is in it. */
export function withFolders(files: readonly KnownFile[]): TarEntry[] {
  const seen = new Set<string>();
  return files.flatMap(({ entry }) => {
    const folders = foldersOf(entry.path).filter((path) => !seen.has(path));
    for (const path of folders) seen.add(path);
    return [...folders.map((path): TarEntry => ({ path, kind: "directory" })), entry];
  });
}

/**
 * Everything in a folder, with its folders.
 * @param at Folder in the image.
 * @param wanted Given a path relative to the folder, tells whether it is taken.
 * @throws MillraceError LAYER_FILE_REFUSED for sockets, devices, pipes, links that lead out of the folder, and what cannot
 * be read.
 */
export async function treeIn(
  directory: string,
  at: string,
  wanted: (path: string) => boolean,
): Promise<LayerFile[]> {
  const root = resolve(directory);
  const listing = readdir(root, { recursive: true, withFileTypes: true });
  const entries = await listing.catch((cause: NodeJS.ErrnoException) => {
    throw unreadable(cause.path ?? root, cause);
  });
  const files = await pMap(
    entries,
    async (entry): Promise<LayerFile | null> => {
      const file = join(entry.parentPath, entry.name);
      const inside = relative(root, file).split(sep).join("/");
      const path = posix.join(at, inside);
      if (!wanted(inside)) return null;
      if (entry.isDirectory()) return { path, folder: true };
      if (entry.isFile()) return { path, file };
      if (!entry.isSymbolicLink()) throw refused(file, "it is a socket, a device or a pipe");
      const link = await readlink(file).catch((cause: unknown) => {
        throw unreadable(file, cause);
      });
      if (link.startsWith("/") || pathWithin(root, resolve(entry.parentPath, link)) === null)
        throw refused(file, `it is a link to ${link}, which is not in the folder`);
      return { path, link: link.split(sep).join("/") };
    },
    { concurrency: FILES_AT_ONCE },
  );
  return files.filter((file) => file !== null);
}

/**
 * Everything in a folder, as files of a layer. Empty folders are none: a checkout of the same code may lack them.
 * @param at Folder in the image.
 * @param wanted Given a path relative to the folder, tells whether it is taken. Default: all are.
 * @throws MillraceError LAYER_FILE_REFUSED, as for `treeIn`
 */
export async function filesIn(
  directory: string,
  at: string,
  wanted: (path: string) => boolean = () => true,
): Promise<LayerFile[]> {
  const all = await treeIn(directory, at, wanted);
  return all.filter((file) => !("folder" in file));
}
