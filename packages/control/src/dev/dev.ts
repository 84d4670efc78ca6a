import {
  type SnapshotManifest,
  type SnapshotRecord,
  STORE_URL_SECRET,
  toMillraceError,
} from "@millrace/core";
import type { DevEvent, DevOptions } from "../client.ts";
import { Door, HOST } from "./door.ts";
import { SourceWatch } from "./source-watch.ts";
import { endedError, Worker } from "./worker.ts";

/** A version of the pipeline, ready to be served. */
export interface DevVersion {
  readonly snapshot: SnapshotRecord;
  readonly manifest: SnapshotManifest;
  /** The snapshot's folder. */
  readonly directory: string;
  /** Absolute paths of the modules and assets that it was made from. */
  readonly sources: readonly string[];
}

/** What serving in the foreground needs from the rest of control. */
export interface DevParts {
  /** Absolute path of the server's entry module. */
  readonly runtime: string;
  /** Absolute path of the pipeline's module. */
  readonly entry: string;
  readonly build: (signal: AbortSignal) => Promise<DevVersion>;
  /** Environment of a worker, and what to do once the worker has read it. */
  readonly environment: (version: DevVersion) => Promise<{
    readonly variables: Readonly<Record<string, string>>;
    readonly release: () => Promise<void>;
  }>;
}

/**
 * Serves a module's pipeline until the signal aborts; a change of its sources brings the next version into service.
 * The listening socket stays here and is shared with the worker of each version, so a reload refuses no connection.
 * @throws MillraceError `PORT_IN_USE`
 */
export async function serveInForeground(parts: DevParts, options: DevOptions): Promise<void> {
  const door = await Door.open(options.port);
  const sources = new SourceWatch(parts.entry);
  const reloads = new Reloads(parts, options, door, sources);
  try {
    await reloads.run();
  } finally {
    sources.close();
    options.onEvent?.({ type: "stopping" });
    await reloads.drain();
    door.close();
  }
}

/** Builds, starts and swaps versions, one after the other. */
class Reloads {
  readonly #parts: DevParts;
  readonly #options: DevOptions;
  readonly #door: Door;
  readonly #sources: SourceWatch;
  readonly #workers = new Set<Worker>();
  #current: { readonly worker: Worker; readonly version: DevVersion } | undefined;

  constructor(parts: DevParts, options: DevOptions, door: Door, sources: SourceWatch) {
    this.#parts = parts;
    this.#options = options;
    this.#door = door;
    this.#sources = sources;
  }

  async run(): Promise<void> {
    const { signal } = this.#options;
    let changed: string | null = null;
    while (!signal.aborted) {
      this.#tell({ type: "building", file: changed });
      try {
        await this.#reload();
      } catch (error) {
        if (signal.aborted) return;
        this.#sources.watchAll();
        this.#tell({
          type: "failed",
          error: toMillraceError(error),
          serving: this.#current !== undefined,
        });
      }
      changed = await this.#sources.nextChange(signal);
    }
  }

  /** Ends every worker once it has answered what is in flight. */
  async drain(): Promise<void> {
    await Promise.all([...this.#workers].map((worker) => worker.drain({ successor: false })));
  }

  async #reload(): Promise<void> {
    const version = await this.#parts.build(this.#options.signal);
    this.#sources.watch(version.sources);
    const before = this.#current;
    if (before?.version.snapshot.id === version.snapshot.id)
      return this.#tell({ type: "unchanged" });
    const worker = await this.#start(version);
    this.#current = { worker, version };
    this.#door.leadTo(worker);
    void this.#noticeEnd(worker);
    void before?.worker.drain({ successor: true });
    const { snapshot, manifest } = version;
    this.#tell({ type: "serving", url: this.#door.url, snapshot, manifest });
  }

  async #start(version: DevVersion): Promise<Worker> {
    const { variables, release } = await this.#parts.environment(version);
    const environment = {
      ...process.env,
      ...this.#options.environment,
      ...variables,
      HOST,
      PORT: String(this.#door.port),
      // The store's URL is among the secrets, and nowhere else.
      [STORE_URL_SECRET]: undefined,
    };
    const worker = new Worker(this.#parts.runtime, version.directory, environment, (line) =>
      this.#options.onLog?.(line),
    );
    this.#workers.add(worker);
    void worker.ended.then(() => this.#workers.delete(worker));
    try {
      await worker.listen(this.#door.socket, this.#options.signal);
      return worker;
    } catch (error) {
      worker.kill();
      throw error;
    } finally {
      await release();
    }
  }

  async #noticeEnd(worker: Worker): Promise<void> {
    const how = await worker.ended;
    if (this.#current?.worker !== worker || worker.isDraining || this.#options.signal.aborted)
      return;
    this.#current = undefined;
    this.#door.leadTo(undefined);
    this.#tell({ type: "failed", error: endedError(how), serving: false });
  }

  #tell(event: DevEvent): void {
    this.#options.onEvent?.(event);
  }
}
