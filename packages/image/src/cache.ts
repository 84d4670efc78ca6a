import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type JsonValue, MillraceError, messageOf } from "@millrace/core";
import { sha256, startMeter, verified } from "./digest.ts";

/** Bytes that the cache holds, by their digest. */
export interface Stored {
  readonly digest: string;
  readonly size: number;
}

/** What notes are kept of; each is a folder. */
export type NoteKind = "layers" | "tags" | "seen";

/**
 * A folder of content by digest, and of small notes. Any number of processes may use it at once: what is written gets
 * its name only when it is whole, and a name's content never changes. It can be deleted at any time.
 */
export interface Cache {
  readonly directory: string;
  /** Size of what is held; null when it is not. */
  size(digest: string): Promise<number | null>;
  /** For small content: all of it, checked against its digest; null when it is not held. */
  read(digest: string): Promise<Uint8Array | null>;
  /**
   * When it is read from the start, it is checked against its digest by the time that it ends.
   * @throws MillraceError IMAGE_CACHE_DAMAGED, it is then not held any more; IMAGE_CACHE_UNREADABLE
   */
  open(digest: string, start?: number): AsyncIterable<Uint8Array>;
  write(source: AsyncIterable<Uint8Array>): Promise<Stored>;
  /** Passes bytes on while it writes them; they are kept when they came to their end and have this digest. */
  keep(digest: string, source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
  /** Null when there is no such note, or none that can be read. */
  recall(kind: NoteKind, key: string): Promise<unknown>;
  note(kind: NoteKind, key: string, value: JsonValue): Promise<void>;
}

const READ_BYTES = 1024 * 1024;

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

async function unlessMissing<T>(reading: Promise<T>): Promise<T | null> {
  try {
    return await reading;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return null;
    throw error;
  }
}

/** Errors of the disk, and not of what is written to it, with the folder named. */
export async function onDisk<T>(directory: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new MillraceError({
      class: "usage",
      code: "IMAGE_CACHE_UNWRITABLE",
      message: `The image cache ${directory} cannot be written: ${messageOf(error)}.`,
      action: "Make room, or give this user the right to write there. All of it may be deleted.",
      cause: error,
    });
  }
}

function damaged(directory: string, digest: string): MillraceError {
  return new MillraceError({
    class: "platform",
    code: "IMAGE_CACHE_DAMAGED",
    message: `The image cache ${directory} had other bytes for ${digest} than it was given.`,
    action: "They were removed. Repeat the command, and check the disk when it happens again.",
  });
}

function unreadable(directory: string, cause: unknown): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "IMAGE_CACHE_UNREADABLE",
    message: `The image cache ${directory} cannot be read: ${messageOf(cause)}.`,
    action:
      "Repeat the command, which makes anew what is missing, or give this user the right to read there.",
    cause,
  });
}

async function* readFrom(
  directory: string,
  path: string,
  start: number,
): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(path, { start, highWaterMark: READ_BYTES });
  } catch (error) {
    throw unreadable(directory, error);
  }
}

const TOUCH_AFTER_MS = 24 * 60 * 60_000;

/** Marks as used, so that it is not cleaned away. */
export async function touch(path: string): Promise<void> {
  const found = await unlessMissing(stat(path));
  const now = Date.now();
  if (found !== null && now - found.mtimeMs > TOUCH_AFTER_MS)
    await unlessMissing(utimes(path, now / 1000, now / 1000));
}

function temporaryBeside(path: string): string {
  return `${path}.${process.pid}.${randomUUID()}.part`;
}

export function openCache(directory: string): Cache {
  const pathOf = (digest: string) => join(directory, "blobs", digest.replace(":", "/"));
  const notePath = (kind: NoteKind, key: string) =>
    join(directory, kind, `${sha256(key).slice("sha256:".length)}.json`);

  /** Writes to a place of its own; the caller says under which name it is kept, or undefined for none. */
  async function* writing(
    source: AsyncIterable<Uint8Array>,
    place: (stored: Stored) => string | undefined,
  ): AsyncGenerator<Uint8Array, Stored> {
    const temporary = temporaryBeside(join(directory, "blobs", "incoming"));
    await onDisk(directory, mkdir(dirname(temporary), { recursive: true }));
    const file = await onDisk(directory, open(temporary, "wx"));
    try {
      const meter = startMeter();
      for await (const chunk of source) {
        await onDisk(directory, file.writeFile(chunk));
        meter.add(chunk);
        yield chunk;
      }
      await file.close();
      const stored = { digest: meter.digest(), size: meter.size };
      const path = place(stored);
      if (path !== undefined) {
        await onDisk(directory, mkdir(dirname(path), { recursive: true }));
        await onDisk(directory, rename(temporary, path));
      }
      return stored;
    } finally {
      await file.close();
      await rm(temporary, { force: true });
    }
  }

  return {
    directory,
    async size(digest) {
      await touch(pathOf(digest));
      return (await unlessMissing(stat(pathOf(digest))))?.size ?? null;
    },
    async read(digest) {
      await touch(pathOf(digest));
      const content = await unlessMissing(readFile(pathOf(digest)));
      // A file that was cut short by a crash of the machine counts as not held.
      return content !== null && sha256(content) === digest ? content : null;
    },
    open(digest, start = 0) {
      const bytes = readFrom(directory, pathOf(digest), start);
      if (start > 0) return bytes;
      return verified(bytes, digest, async () => {
        await rm(pathOf(digest), { force: true });
        return damaged(directory, digest);
      });
    },
    async write(source) {
      const writer = writing(source, ({ digest }) => pathOf(digest));
      for (;;) {
        const step = await writer.next();
        if (step.done === true) return step.value;
      }
    },
    keep: (digest, source) =>
      writing(source, (stored) => (stored.digest === digest ? pathOf(digest) : undefined)),
    async recall(kind, key) {
      await touch(notePath(kind, key));
      const text = await unlessMissing(readFile(notePath(kind, key), "utf8"));
      try {
        return text === null ? null : JSON.parse(text);
      } catch {
        return null;
      }
    },
    async note(kind, key, value) {
      const path = notePath(kind, key);
      const temporary = temporaryBeside(path);
      await onDisk(directory, mkdir(dirname(path), { recursive: true }));
      await onDisk(directory, writeFile(temporary, JSON.stringify(value)));
      await onDisk(directory, rename(temporary, path));
    },
  };
}
