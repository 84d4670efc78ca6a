import { setImmediate } from "node:timers/promises";
import { uuidv7Floor } from "@millrace/core";
import { PostgresRunWriter } from "../postgres/run-writer.ts";
import { SqliteRunWriter } from "../sqlite/run-writer.ts";
import { type Batch, type Origin, VALUES_PER_RUN, type Value } from "./batch.ts";
import { logLine } from "./log-line.ts";
import type { FromWriter, WriterOptions } from "./messages.ts";
import type { RunWriter } from "./run-writer.ts";
import { Spool } from "./spool.ts";
import { parseSpoolLine, spoolLine } from "./spool-line.ts";

const RETRY_MS = { first: 200, most: 5000, mostPassing: 1000 };
/** A store that others are writing to for less than this is at its ordinary work, and not worth a line. */
const LASTING_MS = 2000;
const PRUNE = { everyMs: 60_000, chunk: 1000, nextChunkMs: 250 };
const DAY_MS = 86_400_000;
/** How often lost runs are told of. */
const LOST_EVERY_MS = 60_000;

/** The work of the writer thread: runs go to the store, or to the spool and from there to the store. */
export class RunWriting {
  readonly #options: WriterOptions;
  readonly #report: (message: FromWriter) => void;
  readonly #writer: RunWriter;
  readonly #spool: Spool;
  readonly #origins: Origin[] = [];
  readonly #totals = { done: 0, kept: true, recorded: 0, dropped: 0 };
  #lines: string[] = [];
  /** Set while the store cannot be reached. */
  #retryMs = 0;
  #lostSaidAt = Number.NEGATIVE_INFINITY;
  /** Lost since then. */
  #lostRuns = 0;
  #failingSince: number | null = null;
  /** The log says that the store cannot be reached. */
  #told = false;
  #retryTimer: NodeJS.Timeout | undefined;
  #pruneTimer: NodeJS.Timeout | undefined;
  /** Draining waits for the database, and batches that come meanwhile may fail: one drain after the other. */
  #draining: Promise<void> = Promise.resolve();
  #deadline = Number.POSITIVE_INFINITY;

  constructor(options: WriterOptions, report: (message: FromWriter) => void) {
    this.#options = options;
    this.#report = report;
    this.#writer = openWriter(options);
    this.#spool = new Spool({
      directory: options.store.spoolDirectory,
      maxBytes: options.spoolBytes,
      sync: options.durable,
    });
  }

  start(): void {
    this.#claim();
    this.#pruneIn(PRUNE.everyMs * (0.5 + Math.random()));
  }

  /** Takes over what other processes left: those before this one, and those that it took the place of. */
  #claim(): void {
    const failed = (path: string, thrown: unknown): void =>
      this.#say("warn", "Spools of earlier processes cannot be read.", {
        path,
        error: text(thrown),
      });
    try {
      this.#spool.claim(failed);
    } catch (thrown) {
      failed(this.#options.store.spoolDirectory, thrown);
    }
    if (this.#spool.lines > 0 && this.#retryMs === 0) this.#retryIn(0);
  }

  /** Records a batch, whatever it takes. */
  async take({ number, origins, values }: Batch): Promise<void> {
    this.#origins.push(...origins);
    const runs = values.length / VALUES_PER_RUN;
    this.#totals.kept = (await this.#write(values, runs)) || this.#keep(values, runs);
    this.#totals.done = number;
    this.#tell();
  }

  /** Writes runs to the store. False when it does not take them. */
  async #write(values: readonly Value[], runs: number): Promise<boolean> {
    if (this.#retryMs > 0) return false;
    try {
      await this.#writer.write(values, this.#origins);
    } catch (thrown) {
      this.#storeFailed(thrown);
      return false;
    }
    this.#totals.recorded += runs;
    return true;
  }

  async close(deadlineMs: number): Promise<void> {
    this.#deadline = performance.now() + deadlineMs * 0.8;
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#pruneTimer);
    await this.#draining;
    try {
      await this.#drain();
      // A batch run seldom lives until it would be done by itself.
      if (this.#options.deployment === null) await this.#deleteOld();
    } catch (thrown) {
      this.#say("warn", "Runs stay in the spool for the next process.", {
        error: text(thrown),
        runs: this.#spool.lines,
      });
    }
    this.#spool.close();
    await this.#writer.close();
    this.#tell();
  }

  /** Puts runs into the spool. False when they do not fit: they are lost, and counted. */
  #keep(values: readonly Value[], runs: number): boolean {
    try {
      if (this.#spool.append(this.#toLines(values))) return true;
      this.#lose(runs, `the spool has its ${this.#options.spoolBytes} bytes`);
    } catch (thrown) {
      this.#lose(runs, text(thrown));
    }
    return false;
  }

  #lose(runs: number, why: string): void {
    this.#totals.dropped += runs;
    this.#lostRuns += runs;
    const now = performance.now();
    if (now - this.#lostSaidAt < LOST_EVERY_MS) return;
    this.#say("error", `Runs are lost: the store cannot be reached, and ${why}.`, {
      directory: this.#options.store.spoolDirectory,
      runs: this.#lostRuns,
    });
    this.#lostSaidAt = now;
    this.#lostRuns = 0;
  }

  #toLines(values: readonly Value[]): string[] {
    const lines: string[] = [];
    for (let i = 0; i < values.length; i += VALUES_PER_RUN) {
      const origin = this.#origins[Number(values[i])];
      if (origin !== undefined)
        lines.push(spoolLine({ origin, values: values.slice(i + 1, i + VALUES_PER_RUN) }));
    }
    return lines;
  }

  #storeFailed(thrown: unknown): void {
    const now = performance.now();
    this.#failingSince ??= now;
    const isPassing = this.#writer.isPassing(thrown);
    if (!this.#told && !(isPassing && now - this.#failingSince < LASTING_MS)) {
      this.#say("warn", "The store cannot be reached: runs are spooled.", { error: text(thrown) });
      this.#told = true;
    }
    this.#retryMs = Math.min(
      this.#retryMs * 2 || RETRY_MS.first,
      isPassing ? RETRY_MS.mostPassing : RETRY_MS.most,
    );
    this.#retryIn(this.#retryMs);
  }

  #storeWorks(): void {
    this.#retryMs = 0;
    this.#failingSince = null;
  }

  #retryIn(ms: number): void {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => {
      this.#draining = this.#draining.then(() => this.#retry());
    }, ms);
  }

  async #retry(): Promise<void> {
    try {
      if (this.#spool.lines === 0) await this.#writer.writeSpooled([], []);
      const runs = await this.#drain();
      this.#storeWorks();
      if (this.#told || this.#lostRuns > 0)
        this.#say("info", "The store can be reached and has what was spooled.", {
          runs,
          ...(this.#lostRuns > 0 ? { lost: this.#lostRuns } : {}),
        });
      this.#told = false;
      this.#lostRuns = 0;
    } catch (thrown) {
      this.#storeFailed(thrown);
    }
    this.#tell();
  }

  /** Moves runs from the spool to the store; returns how many. */
  async #drain(): Promise<number> {
    let drained = 0;
    await this.#spool.drain(async (lines, torn) => {
      if (torn) this.#say("warn", "The last line of a spool was torn by a crash and is skipped.");
      const origins: Origin[] = [];
      const values: Value[] = [];
      let unreadable = 0;
      for (const line of lines) {
        const run = parseSpoolLine(line);
        if (run === null) unreadable += 1;
        else values.push(origins.push(run.origin) - 1, ...run.values);
      }
      if (values.length > 0) await this.#writer.writeSpooled(values, origins);
      // From here on batches go to the store again: a spool that takes them while it is drained may never be empty.
      this.#storeWorks();
      drained += lines.length - unreadable;
      this.#totals.recorded += lines.length - unreadable;
      this.#totals.dropped += unreadable;
      if (unreadable > 0)
        this.#say("error", "Lines of a spool cannot be read and are skipped.", { unreadable });
      // Batches go first.
      await setImmediate();
      return performance.now() < this.#deadline;
    });
    return drained;
  }

  #pruneIn(ms: number): void {
    this.#pruneTimer = setTimeout(() => {
      void this.#prune();
    }, ms).unref();
  }

  async #prune(): Promise<void> {
    // Not while files are drained.
    this.#draining = this.#draining.then(() => this.#claim());
    const pruned = await this.#deleteOld();
    if (pruned < PRUNE.chunk) await this.#interrupt();
    this.#pruneIn(pruned < PRUNE.chunk ? PRUNE.everyMs : PRUNE.nextChunkMs);
  }

  /** Deletes some old runs; returns how many. */
  async #deleteOld(): Promise<number> {
    if (this.#retryMs > 0) return 0;
    const { projectId, retentionDays, deployment } = this.#options;
    const beforeId = uuidv7Floor(Date.now() - retentionDays * DAY_MS);
    try {
      const deploymentId = deployment?.id ?? "";
      return await this.#writer.prune({ projectId, deploymentId, beforeId }, PRUNE.chunk);
    } catch (thrown) {
      this.#sayUnlessPassing("Old runs could not be deleted; this is tried again.", thrown);
      return 0;
    }
  }

  /** A run that is recorded as running after its deadline belonged to a process that was killed. */
  async #interrupt(): Promise<void> {
    const { deployment } = this.#options;
    if (deployment === null || this.#retryMs > 0) return;
    const { id: deploymentId, longestRunMs } = deployment;
    try {
      const beforeId = uuidv7Floor(Date.now() - longestRunMs);
      const count = await this.#writer.interrupt({ deploymentId, beforeId });
      if (count > 0)
        this.#say("warn", "Runs ended with their process and are recorded as interrupted.", {
          runs: count,
        });
    } catch (thrown) {
      this.#sayUnlessPassing("Interrupted runs could not be marked; this is tried again.", thrown);
    }
  }

  #sayUnlessPassing(message: string, thrown: unknown): void {
    if (!this.#writer.isPassing(thrown)) this.#say("warn", message, { error: text(thrown) });
  }

  #say(
    level: "info" | "warn" | "error",
    message: string,
    fields: Readonly<Record<string, unknown>> = {},
  ): void {
    this.#lines.push(logLine(level, message, { component: "recorder", ...fields }));
  }

  #tell(): void {
    this.#report({ ...this.#totals, spooled: this.#spool.lines, lines: this.#lines });
    this.#lines = [];
  }
}

function openWriter({ store, durable }: WriterOptions): RunWriter {
  return store.kind === "sqlite"
    ? new SqliteRunWriter(store.file, durable)
    : new PostgresRunWriter(store.url, durable);
}

function text(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
