import { type FSWatcher, watch } from "node:fs";
import { dirname, join, sep } from "node:path";

/** Editors write a file in several steps: changes within this time are one. */
const DEBOUNCE_MS = 100;

/** What a module or its data may be called. The command's own output may stand beside them, too. */
const SOURCE = /^[^.].*\.(?:[cm]?[jt]sx?|json)$/;

/** Notices changes of the files that a version was made from. It watches folders, since editors replace files. */
export class SourceWatch {
  readonly #watchers = new Map<string, FSWatcher>();
  #files: ReadonlySet<string>;
  /** After a build that failed any file may be the one that mends it: even one that was not there. */
  #anyFile = false;
  #changed: string | null = null;
  #notify = (): void => {};

  constructor(entry: string) {
    this.#files = new Set([entry]);
    this.#watchFolderOf(entry);
  }

  /** From now on these files count. Installed packages do not. */
  watch(files: readonly string[]): void {
    this.#files = new Set(files.filter((file) => !file.split(sep).includes("node_modules")));
    this.#anyFile = false;
    const folders = new Set([...this.#files].map((file) => dirname(file)));
    for (const [folder, watcher] of this.#watchers) {
      if (folders.has(folder)) continue;
      watcher.close();
      this.#watchers.delete(folder);
    }
    for (const file of this.#files) this.#watchFolderOf(file);
  }

  /** From now on every source file counts that stands beside a known one. */
  watchAll(): void {
    this.#anyFile = true;
  }

  /** The path of a file that changed since the last call; null when the signal aborted. */
  async nextChange(signal: AbortSignal): Promise<string | null> {
    const wake = (): void => this.#notify();
    signal.addEventListener("abort", wake);
    while (!signal.aborted && this.#changed === null) {
      await new Promise<void>((resolve) => {
        this.#notify = resolve;
      });
    }
    signal.removeEventListener("abort", wake);
    await quiet(signal);
    const changed = this.#changed;
    this.#changed = null;
    return changed;
  }

  close(): void {
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #watchFolderOf(file: string): void {
    const folder = dirname(file);
    if (this.#watchers.has(folder)) return;
    const watcher = watch(folder, (_event, name) => this.#see(folder, name));
    // A folder that went away: the build that follows says what is missing.
    watcher.on("error", () => this.#watchers.delete(folder));
    this.#watchers.set(folder, watcher);
  }

  #see(folder: string, name: string | null): void {
    if (name === null) return;
    const file = join(folder, name);
    if (!this.#files.has(file) && !(this.#anyFile && SOURCE.test(name))) return;
    this.#changed = file;
    this.#notify();
  }
}

function quiet(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, DEBOUNCE_MS);
    signal.addEventListener("abort", done, { once: true });
  });
}
