import { appendFileSync, closeSync, mkdirSync, openSync, readSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type LogLine, messageOf } from "@millrace/core";
import { type LogFile, listLogFiles, logFileName } from "./log-files.ts";
import { formatLogLine } from "./log-line.ts";

export interface LogLimits {
  /** Size at which a file is closed. */
  readonly maxBytes: number;
  /** Files that are kept, the one being written included. */
  readonly files: number;
}

/** Appends lines to the newest log file of a folder. Only one process may write to a folder. */
export class LogWriter {
  readonly #folder: string;
  #limits: LogLimits;
  #current: LogFile | null = null;
  #lost: Lost | null = null;

  constructor(folder: string, limits: LogLimits) {
    this.#folder = folder;
    this.#limits = limits;
  }

  set limits(limits: LogLimits) {
    this.#limits = limits;
  }

  /** Lines that cannot be written (a full disk) are counted, and the count is written as soon as that works again. */
  write(lines: readonly LogLine[]): void {
    if (lines.length === 0) return;
    try {
      if (this.#lost !== null) this.#append([lostLine(this.#lost)]);
      this.#lost = null;
      this.#append(lines);
    } catch (error) {
      this.#current = null;
      const count = (this.#lost?.count ?? 0) + lines.length;
      this.#lost = { count, why: messageOf(error) };
    }
  }

  #append(lines: readonly LogLine[]): void {
    const data = Buffer.from(lines.map(formatLogLine).join(""));
    let file = this.#current ?? this.#open();
    if (file.size > 0 && file.size + data.length > this.#limits.maxBytes) file = this.#rotate(file);
    appendFileSync(file.path, data, { mode: 0o600 });
    this.#current = { ...file, size: file.size + data.length };
  }

  #open(): LogFile {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const last = listLogFiles(this.#folder).at(-1);
    if (last === undefined) return this.#file(1);
    // A crash may have cut off the last line; the next one must not continue it.
    if (endsInsideLine(last)) appendFileSync(last.path, "\n");
    return last;
  }

  #rotate(file: LogFile): LogFile {
    const next = this.#file(file.number + 1);
    for (const old of listLogFiles(this.#folder)) {
      if (old.number <= next.number - this.#limits.files) rmSync(old.path, { force: true });
    }
    return next;
  }

  #file(number: number): LogFile {
    return { number, path: join(this.#folder, logFileName(number)), size: 0 };
  }
}

function endsInsideLine(file: LogFile): boolean {
  if (file.size === 0) return false;
  const descriptor = openSync(file.path, "r");
  try {
    const last = Buffer.alloc(1);
    readSync(descriptor, last, 0, 1, file.size - 1);
    return last[0] !== 10;
  } finally {
    closeSync(descriptor);
  }
}

interface Lost {
  readonly count: number;
  readonly why: string;
}

function lostLine({ count, why }: Lost): LogLine {
  return {
    time: new Date(),
    replica: "supervisor",
    stream: "stderr",
    text: `${count} log lines could not be written and are lost: ${why}`,
  };
}
