import { open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { MillraceError, parse, Secret } from "@millrace/core";
import { z } from "zod";

const VERSION = 1;
/** A lock this old was left by a process that died: a write takes milliseconds. */
const STALE_LOCK_MS = 10_000;

const fileSchema = z.strictObject({
  version: z.literal(VERSION),
  secrets: z.record(z.string(), z.string()),
});

/** Secrets in a file that only its owner can read. Written whole, under a lock, and swapped in by a rename. */
export class SecretFile {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  async get(name: string): Promise<Secret | null> {
    const value = (await this.#read())[name];
    return value === undefined ? null : new Secret(value);
  }

  async names(): Promise<readonly string[]> {
    return Object.keys(await this.#read()).sort();
  }

  async set(name: string, value: Secret): Promise<void> {
    await this.#change((secrets) => ({ ...secrets, [name]: value.reveal() }));
  }

  /** True when there was one. */
  async delete(name: string): Promise<boolean> {
    let found = false;
    await this.#change(({ [name]: value, ...others }) => {
      found = value !== undefined;
      return others;
    });
    return found;
  }

  async #read(): Promise<Readonly<Record<string, string>>> {
    let text: string;
    try {
      const { mode } = await stat(this.#file);
      if (process.platform !== "win32" && (mode & 0o077) !== 0) throw this.#readableByOthers();
      text = await readFile(this.#file, "utf8");
    } catch (error) {
      if (isMissing(error)) return {};
      throw error;
    }
    return parse(fileSchema, parseJson(text), {
      what: `The secret store ${this.#file}`,
      code: "SECRET_STORE_INVALID",
      action: "Restore it from a backup, or move it away and set the secrets again.",
    }).secrets;
  }

  async #change(
    change: (secrets: Readonly<Record<string, string>>) => Readonly<Record<string, string>>,
  ): Promise<void> {
    const unlock = await this.#lock();
    try {
      const secrets = change(await this.#read());
      const next = `${this.#file}.${process.pid}.next`;
      try {
        await writeFile(next, `${JSON.stringify({ version: VERSION, secrets }, null, 2)}\n`, {
          mode: 0o600,
          flush: true,
        });
        await rename(next, this.#file);
      } catch (error) {
        await rm(next, { force: true });
        throw error;
      }
    } finally {
      await unlock();
    }
  }

  async #lock(): Promise<() => Promise<void>> {
    const lock = `${this.#file}.lock`;
    for (;;) {
      try {
        await (await open(lock, "wx", 0o600)).close();
        return () => rm(lock, { force: true });
      } catch (error) {
        if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
        const age = await stat(lock).then(
          ({ mtimeMs }) => Date.now() - mtimeMs,
          () => 0,
        );
        if (age > STALE_LOCK_MS) await rm(lock, { force: true });
        else await sleep(20);
      }
    }
  }

  #readableByOthers(): MillraceError {
    return new MillraceError({
      class: "usage",
      code: "SECRET_STORE_EXPOSED",
      message: `Others can read the secret store ${this.#file}.`,
      action: `Run: chmod 600 ${this.#file}`,
    });
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

/** Broken text becomes a value that the schema refuses; its message must not quote the text. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
