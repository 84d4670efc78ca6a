import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { digestOf } from "./artifact-store.ts";
import type { PipelineSource } from "./source.ts";

/** File times advance in steps: a file written just after a moment can carry a time just before it. */
const CLOCK_STEP_MS = 20;

const fingerprintSchema = z.strictObject({
  /** Whatever decides about the bundle beside the sources. */
  maker: z.string(),
  made: z.string(),
  files: z.array(
    z.strictObject({ path: z.string(), size: z.number(), mtimeMs: z.number(), digest: z.string() }),
  ),
});
type Fingerprint = z.output<typeof fingerprintSchema>;

/**
 * Remembers by its digest what sources gave (a pipeline's snapshot, the bundle of the server), so that unchanged sources
 * need no bundling. A file counts as unchanged when size and time are the same, or else its content.
 */
export class Fingerprints {
  readonly #directory: string;
  readonly #maker: string;

  constructor(directory: string, maker: string) {
    this.#directory = directory;
    this.#maker = maker;
  }

  /** Digest of what these sources gave; null when they changed or were never seen. */
  async find(
    source: PipelineSource,
  ): Promise<{ readonly made: string; readonly sources: readonly string[] } | null> {
    const known = await this.#read(source);
    if (known === null || known.maker !== this.#maker) return null;
    const same = await Promise.all(known.files.map(isUnchanged));
    return same.every(Boolean)
      ? { made: known.made, sources: known.files.map(({ path }) => path) }
      : null;
  }

  /**
   * Remembers what was made of the sources. Not when one of them was written after `readSince` (milliseconds since the
   * epoch): nobody knows which of its contents went into the bundle.
   */
  async remember(
    source: PipelineSource,
    made: string,
    sources: readonly string[],
    readSince: number,
  ): Promise<void> {
    const deciding = [source.file, ...sources, ...settingsFiles(source)];
    const files = await Promise.all([...new Set(deciding)].map(read));
    if (files.some(({ mtimeMs }) => mtimeMs > readSince - CLOCK_STEP_MS)) return;
    const file = this.#file(source);
    const fingerprint: Fingerprint = { maker: this.#maker, made, files };
    const draft = `${file}.${randomUUID()}`;
    try {
      await mkdir(dirname(file), { recursive: true, mode: 0o700 });
      await writeFile(draft, JSON.stringify(fingerprint));
      await rename(draft, file);
    } catch {
      // It only saves time: where it cannot be kept (a full disk), the sources are bundled again.
      await rm(draft, { force: true }).catch(() => undefined);
    }
  }

  async #read(source: PipelineSource): Promise<Fingerprint | null> {
    try {
      return (
        fingerprintSchema.safeParse(JSON.parse(await readFile(this.#file(source), "utf8"))).data ??
        null
      );
    } catch {
      // It only saves time: one that is missing or broken is made again.
      return null;
    }
  }

  #file(source: PipelineSource): string {
    const name = createHash("sha256").update(`${source.file}#${source.export}`).digest("hex");
    return join(this.#directory, `${name}.json`);
  }
}

/** Files that decide how modules are found. */
function settingsFiles({ root }: PipelineSource): string[] {
  return ["package.json", "tsconfig.json"].map((name) => join(root, name)).filter(existsSync);
}

async function read(path: string): Promise<Fingerprint["files"][number]> {
  const [{ size, mtimeMs }, content] = await Promise.all([stat(path), readFile(path)]);
  return { path, size, mtimeMs, digest: digestOf(content) };
}

async function isUnchanged({
  path,
  size,
  mtimeMs,
  digest,
}: Fingerprint["files"][number]): Promise<boolean> {
  try {
    const now = await stat(path);
    if (now.size === size && now.mtimeMs === mtimeMs) return true;
    return now.size === size && digestOf(await readFile(path)) === digest;
  } catch {
    return false;
  }
}
