import { randomUUID } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { makeFolder } from "@millrace/core";
import { SpoolFile } from "./spool-file.ts";

export const SPOOL_EXTENSION = ".ndjson";
/** Bytes of lines that are moved to the store in one transaction. */
const PART_BYTES = 256 * 1024;

export interface SpoolOptions {
  readonly directory: string;
  /** Bound of this process's file. */
  readonly maxBytes: number;
  /** Whether lines must survive the death of the machine. */
  readonly sync: boolean;
}

/** Lines of one process that wait for the store, and those that dead processes left in the same folder. */
export class Spool {
  readonly #options: SpoolOptions;
  /** In the order in which they are drained: those of the dead first, our own last. */
  readonly #files: { file: SpoolFile; lines: number; drained: number }[] = [];
  #own: SpoolFile | undefined;

  constructor(options: SpoolOptions) {
    this.#options = options;
  }

  /** Lines that wait. */
  get lines(): number {
    return this.#files.reduce((sum, { lines }) => sum + lines, 0);
  }

  /** Takes over the files of processes that died. One that cannot be read is told of, and left. */
  claim(onFailure: (path: string, thrown: unknown) => void): void {
    makeFolder(this.#options.directory);
    const mine = new Set(this.#files.map(({ file }) => file.path));
    for (const name of readdirSync(this.#options.directory).sort()) {
      const path = join(this.#options.directory, name);
      if (!name.endsWith(SPOOL_EXTENSION) || mine.has(path)) continue;
      try {
        const file = SpoolFile.claim(path);
        if (file !== null) this.#files.unshift({ file, lines: file.countLines(), drained: 0 });
      } catch (thrown) {
        onFailure(path, thrown);
      }
    }
  }

  /** Appends lines, all or none. False when they do not fit. */
  append(lines: readonly string[]): boolean {
    const bytes = Buffer.from(lines.join(""));
    const file = this.#ownFile();
    if (file.size + bytes.length > this.#options.maxBytes) return false;
    file.append(bytes, this.#options.sync);
    const entry = this.#files.at(-1);
    if (entry !== undefined) entry.lines += lines.length;
    return true;
  }

  /**
   * Gives lines in order to the store, part by part, and forgets each part once the store has it. Stops when `write`
   * throws or resolves to false.
   */
  async drain(write: (lines: readonly string[], torn: boolean) => Promise<boolean>): Promise<void> {
    for (let entry = this.#files[0]; entry !== undefined; entry = this.#files[0]) {
      while (entry.drained < entry.file.size) {
        const part = entry.file.read(entry.drained, PART_BYTES);
        const more = await write(part.lines, part.torn);
        entry.drained = part.end;
        entry.lines -= part.lines.length;
        if (!more) return;
      }
      if (entry.file === this.#own) {
        entry.file.clear();
        entry.drained = 0;
        entry.lines = 0;
        return;
      }
      entry.file.remove();
      this.#files.shift();
    }
  }

  /** Leaves what waits to the next process, and no empty file. */
  close(): void {
    for (const { file } of this.#files) {
      if (file.size === 0) file.remove();
      else file.close();
    }
    this.#files.length = 0;
    this.#own = undefined;
  }

  #ownFile(): SpoolFile {
    // Somebody deleted the folder: what the old file holds can still be read, and is drained like the others.
    if (this.#own?.exists === false) this.#own = undefined;
    if (this.#own === undefined) {
      makeFolder(this.#options.directory);
      this.#own = SpoolFile.create(
        join(this.#options.directory, `${randomUUID()}${SPOOL_EXTENSION}`),
      );
      this.#files.push({ file: this.#own, lines: 0, drained: 0 });
    }
    return this.#own;
  }
}
