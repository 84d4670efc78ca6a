import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import { type ProcessLock, tryLock } from "./process-lock.ts";

const LINE_FEED = 0x0a;

/** Complete lines of a spool, and where the next ones begin. */
export interface SpoolPart {
  readonly lines: readonly string[];
  readonly end: number;
  /** Bytes after the last line feed, at the end of the file: what a crash tore. */
  readonly torn: boolean;
}

/** A file of lines that belongs to one process at a time. */
export class SpoolFile {
  readonly path: string;
  readonly #lock: ProcessLock;
  readonly #fd: number;
  #size: number;

  private constructor(path: string, lock: ProcessLock, fd: number) {
    this.path = path;
    this.#lock = lock;
    this.#fd = fd;
    this.#size = fstatSync(fd).size;
  }

  /** Makes a new one. */
  static create(path: string): SpoolFile {
    closeSync(openSync(lockPath(path), "wx", 0o600));
    const lock = tryLock(lockPath(path));
    if (lock === null) throw new Error(`${path} is in use by another process.`);
    return SpoolFile.#open(path, lock, constants.O_CREAT | constants.O_RDWR);
  }

  /** Takes over one whose process is dead; null when it lives, or another process was faster. */
  static claim(path: string): SpoolFile | null {
    const lock = tryLock(lockPath(path));
    if (lock === null) return null;
    try {
      return SpoolFile.#open(path, lock, constants.O_RDWR);
    } catch (thrown) {
      if (!(thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT")) throw thrown;
      rmSync(lockPath(path), { force: true });
      return null;
    }
  }

  static #open(path: string, lock: ProcessLock, flags: number): SpoolFile {
    try {
      return new SpoolFile(path, lock, openSync(path, flags, 0o600));
    } catch (thrown) {
      lock.release();
      throw thrown;
    }
  }

  get size(): number {
    return this.#size;
  }

  /** False when the file was deleted: what is written to it is lost. */
  get exists(): boolean {
    return fstatSync(this.#fd).nlink > 0;
  }

  /** Appends lines, all or none. */
  append(lines: Buffer, sync: boolean): void {
    try {
      for (let written = 0; written < lines.length; )
        written += writeSync(
          this.#fd,
          lines,
          written,
          lines.length - written,
          this.#size + written,
        );
      if (sync) fdatasyncSync(this.#fd);
      this.#size += lines.length;
    } catch (thrown) {
      ftruncateSync(this.#fd, this.#size);
      throw thrown;
    }
  }

  /** Complete lines from a position on: about so many bytes of them, and one line at least. */
  read(start: number, bytes: number): SpoolPart {
    const buffer = Buffer.alloc(Math.min(bytes, this.#size - start));
    const length = readSync(this.#fd, buffer, 0, buffer.length, start);
    const last = buffer.lastIndexOf(LINE_FEED, length - 1);
    const atEnd = start + length >= this.#size;
    if (last === -1 && !atEnd) return this.read(start, bytes * 2);
    const lines = last === -1 ? [] : buffer.toString("utf8", 0, last).split("\n");
    return atEnd
      ? { lines, end: start + length, torn: last < length - 1 }
      : { lines, end: start + last + 1, torn: false };
  }

  countLines(): number {
    let count = 0;
    for (let start = 0; start < this.#size; ) {
      const part = this.read(start, 1 << 20);
      count += part.lines.length;
      start = part.end;
    }
    return count;
  }

  clear(): void {
    ftruncateSync(this.#fd, 0);
    this.#size = 0;
  }

  /** Deletes it. */
  remove(): void {
    closeSync(this.#fd);
    rmSync(this.path, { force: true });
    rmSync(lockPath(this.path), { force: true });
    this.#lock.release();
  }

  /** Leaves it to the next process. */
  close(): void {
    closeSync(this.#fd);
    this.#lock.release();
  }
}

function lockPath(path: string): string {
  return `${path}.lock`;
}
