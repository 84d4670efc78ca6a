import { writeSync } from "node:fs";

/** Bytes that wait for a slow reader; what comes beyond is dropped, so that memory stays bounded. */
const MAX_WAITING = 16 * 1024 * 1024;
/** How soon a full pipe is tried again, in milliseconds. */
const RETRY_MS = 5;

/**
 * Writes lines to stdout or stderr without ever waiting for the reader. What is written in one turn of the event loop goes
 * out together. A thread that writes to a full pipe could not be stopped, and would keep the process from ending.
 */
export class LogWriter {
  readonly #fd: number;
  readonly #max: number;
  #lines: string[] = [];
  /** Of the lines, in characters. */
  #length = 0;
  #rest: Buffer = Buffer.alloc(0);
  #scheduled = false;
  #dropped = 0;
  #complete = true;
  #turned: PromiseWithResolvers<boolean> | undefined;

  /** @param fd Open and non-blocking. */
  constructor(fd: number, max = MAX_WAITING) {
    this.#fd = fd;
    this.#max = max;
  }

  write(line: string): void {
    if (this.#length + this.#rest.length + line.length > this.#max) {
      this.#dropped++;
      this.#complete = false;
      return;
    }
    this.#lines.push(line);
    this.#length += line.length;
    this.#schedule();
  }

  /** Resolves when the lines so far were offered to the reader: whether every one of them is written. */
  written(): Promise<boolean> {
    this.#turned ??= Promise.withResolvers();
    this.#schedule();
    return this.#turned.promise;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#turn);
  }

  /** Writes out everything, and waits for a slow reader at most so many milliseconds. False when something is left. */
  flush(maxMs: number): boolean {
    const end = performance.now() + maxMs;
    while (!this.#write()) {
      if (performance.now() >= end) return false;
      Atomics.wait(PAUSE, 0, 0, RETRY_MS);
    }
    return true;
  }

  readonly #turn = (): void => {
    this.#scheduled = !this.#write();
    this.#turned?.resolve(this.#complete && !this.#scheduled);
    this.#turned = undefined;
    this.#complete = true;
    if (this.#scheduled) setTimeout(this.#turn, RETRY_MS).unref();
  };

  /** Writes as much as the reader takes. False when something is left. */
  #write(): boolean {
    try {
      while (this.#next().length > 0) {
        this.#rest = this.#rest.subarray(writeSync(this.#fd, this.#rest));
      }
    } catch (error) {
      if (isFull(error)) return false;
      // The reader is gone: there is nobody left to tell.
      this.#rest = Buffer.alloc(0);
      this.#lines = [];
      this.#length = 0;
      this.#complete = false;
    }
    return true;
  }

  /** What is to be written now. */
  #next(): Buffer {
    if (this.#rest.length > 0) return this.#rest;
    if (this.#lines.length === 0 && this.#dropped > 0) {
      this.#lines.push(droppedLine(this.#dropped));
      this.#dropped = 0;
    }
    this.#rest = Buffer.from(this.#lines.join(""));
    this.#lines = [];
    this.#length = 0;
    return this.#rest;
  }
}

function droppedLine(count: number): string {
  const msg = `${count} lines of the log were dropped: nobody read them fast enough.`;
  return `${JSON.stringify({ level: "warn", time: new Date().toISOString(), msg })}\n`;
}

const PAUSE = new Int32Array(new SharedArrayBuffer(4));

function isFull(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EAGAIN";
}
