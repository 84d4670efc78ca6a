import { mkdir, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isMillraceError, MillraceError, messageOf, parse, Secret } from "@millrace/core";
import { z } from "zod";

const VERSION = 1;
/** A lock this old was left by a process that died: a write takes milliseconds. */
const STALE_LOCK_MS = 10_000;
const LOCK_TIMEOUT_MS = 20_000;
const LOCK_POLL_MS = 20;

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
    const value = (await this.#read()).get(name);
    return value === undefined ? null : new Secret(value);
  }

  async names(): Promise<readonly string[]> {
    return [...(await this.#read()).keys()].sort();
  }

  async set(name: string, value: Secret): Promise<void> {
    await this.#change((secrets) => secrets.set(name, value.reveal()));
  }

  /** True when there was one. */
  async delete(name: string): Promise<boolean> {
    let found = false;
    await this.#change((secrets) => {
      found = secrets.delete(name);
    });
    return found;
  }

  async #read(): Promise<Map<string, string>> {
    let text: string;
    try {
      const { mode } = await stat(this.#file);
      if (process.platform !== "win32" && (mode & 0o077) !== 0) throw this.#readableByOthers();
      text = await readFile(this.#file, "utf8");
    } catch (error) {
      if (hasCode(error, "ENOENT")) return new Map();
      throw isMillraceError(error) ? error : this.#unusable("read", error);
    }
    const { secrets } = parse(fileSchema, parseJson(text), {
      what: `The secret store ${this.#file}`,
      code: "SECRET_STORE_INVALID",
      action: "Restore it from a backup, or move it away and set the secrets again.",
    });
    return new Map(Object.entries(secrets));
  }

  async #change(change: (secrets: Map<string, string>) => void): Promise<void> {
    await mkdir(dirname(this.#file), { recursive: true, mode: 0o700 }).catch((error: unknown) => {
      throw this.#unusable("written", error);
    });
    const unlock = await this.#lock();
    const next = `${this.#file}.next`;
    try {
      const secrets = await this.#read();
      change(secrets);
      await this.#write(next, secrets);
      await rename(next, this.#file);
    } catch (error) {
      await rm(next, { force: true });
      throw isMillraceError(error) ? error : this.#unusable("written", error);
    } finally {
      await unlock();
    }
  }

  async #write(file: string, secrets: ReadonlyMap<string, string>): Promise<void> {
    const content = { version: VERSION, secrets: Object.fromEntries(secrets) };
    // One that a dead process left may have another mode.
    await rm(file, { force: true });
    await writeFile(file, `${JSON.stringify(content, null, 2)}\n`, {
      mode: 0o600,
      flag: "wx",
      flush: true,
    });
  }

  async #lock(): Promise<() => Promise<void>> {
    const lock = `${this.#file}.lock`;
    const until = Date.now() + LOCK_TIMEOUT_MS;
    for (;;) {
      try {
        await (await open(lock, "wx", 0o600)).close();
        return () => rm(lock, { force: true });
      } catch (error) {
        if (!hasCode(error, "EEXIST")) throw this.#unusable("locked", error);
        if (Date.now() > until) throw this.#unusable("locked", error);
        const age = await stat(lock).then(
          ({ mtimeMs }) => Date.now() - mtimeMs,
          () => 0,
        );
        if (age > STALE_LOCK_MS) await rm(lock, { force: true });
        else await sleep(LOCK_POLL_MS);
      }
    }
  }

  #unusable(what: string, cause: unknown): MillraceError {
    return new MillraceError({
      class: "usage",
      code: "SECRET_STORE_UNUSABLE",
      message: `The secret store ${this.#file} cannot be ${what}: ${messageOf(cause)}.`,
      action:
        "Correct its permissions, make room on the disk, or name another file as `secrets.file` in millrace.config.ts.",
      cause,
    });
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

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

/** Broken text becomes a value that the schema refuses; its message must not quote the text. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
