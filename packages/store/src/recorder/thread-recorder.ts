import { Worker } from "node:worker_threads";
import type { RunRecord } from "@millrace/core";
import { appendRun, type Batch, OriginNumbers, VALUES_PER_RUN, type Value } from "./batch.ts";
import { logLine } from "./log-line.ts";
import type { FromWriter, ToWriter, WriterOptions } from "./messages.ts";
import type { Recorder, RunTexts } from "./recorder.ts";

/**
 * What waits longer outlives two collections and moves among the old objects, which brings the next full collection nearer;
 * and the writer would take a shared core for longer at a time. Shorter costs more commits.
 */
const ASYNC_FLUSH_MS = 3;
/** A batch is sent when it is so large, so that the writer never blocks a shared core for long. */
const MAX_BATCH_RUNS = 512;
/** The same: the store has little time for a batch, and a spool that is nearly full takes the whole of it or nothing. */
const MAX_BATCH_BYTES = 4 * 1024 * 1024;
/** Bounds of what is in memory; beyond them callers wait. */
const MAX_PENDING_RUNS = 20_000;
const MAX_PENDING_BYTES = 32 * 1024 * 1024;
/** A writer starts with the first run, or after this time to catch up with spools of processes that died. */
const START_WRITER_MS = 500;

interface SentBatch extends Batch {
  readonly runs: number;
  readonly bytes: number;
  readonly recorded: PromiseWithResolvers<boolean>;
  /** How often the writer died with it. */
  crashes: number;
}

/** Collects runs into batches for one writer thread, which owns the connection to the store. */
export class ThreadRecorder implements Recorder {
  readonly stats = { recorded: 0, spooled: 0, pending: 0, dropped: 0 };
  readonly #options: WriterOptions;
  readonly #sync: boolean;
  readonly #module: URL;
  readonly #log: (line: string) => void;
  readonly #origins = new OriginNumbers();
  readonly #sent: SentBatch[] = [];
  readonly #flush = (): void => {
    this.#flushing = false;
    this.#post();
  };
  #originsSent = 0;
  #worker: Worker | undefined;
  #starter: NodeJS.Timeout;
  #flushing = false;
  #values: Value[] = [];
  #bytes = 0;
  #recorded = Promise.withResolvers<boolean>();
  #pendingBytes = 0;
  #batches = 0;
  /** Totals of writers that died. */
  #before = { recorded: 0, dropped: 0 };
  #closed = false;

  /** `module` is what the writer thread runs. */
  constructor(
    options: WriterOptions,
    sync: boolean,
    log: (line: string) => void,
    module = new URL("./writer-thread.js", import.meta.url),
  ) {
    this.#module = module;
    this.#options = options;
    this.#sync = sync;
    this.#log = log;
    this.#starter = setTimeout(() => this.#startWriter(), START_WRITER_MS).unref();
  }

  record(run: RunRecord, texts?: RunTexts): Promise<boolean> | undefined {
    if (this.#closed) return this.#drop(run, "the recorder was closed before");
    let bytes: number;
    try {
      bytes = appendRun(this.#values, this.#origins.of(run), run, texts);
    } catch (thrown) {
      return this.#drop(run, `it is not JSON: ${String(thrown)}`);
    }
    this.#bytes += bytes;
    this.#pendingBytes += bytes;
    this.stats.pending += 1;
    const { promise } = this.#recorded;
    this.#scheduleFlush();
    if (this.#sync) return promise;
    const full = this.stats.pending > MAX_PENDING_RUNS || this.#pendingBytes > MAX_PENDING_BYTES;
    return full ? promise : undefined;
  }

  async close(deadlineMs: number): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#starter);
    if (this.#values.length > 0) this.#post();
    const worker = this.#worker;
    if (worker === undefined) return;
    worker.ref();
    const ended = Promise.withResolvers<void>();
    worker.once("exit", () => ended.resolve());
    this.#send({ close: deadlineMs });
    const timer = setTimeout(() => ended.resolve(), deadlineMs);
    await ended.promise;
    clearTimeout(timer);
    await worker.terminate();
    this.#dropAll("The recorder had to stop before these runs were recorded.");
  }

  #scheduleFlush(): void {
    if (this.#values.length >= MAX_BATCH_RUNS * VALUES_PER_RUN || this.#bytes >= MAX_BATCH_BYTES)
      this.#post();
    if (this.#flushing || this.#values.length === 0) return;
    // In mode sync what comes while a commit is under way shares the next one: see #acknowledge.
    if (this.#sync && this.#sent.length > 0) return;
    this.#flushing = true;
    if (this.#sync) setImmediate(this.#flush);
    else setTimeout(this.#flush, ASYNC_FLUSH_MS);
  }

  #post(): void {
    if (this.#values.length === 0) return;
    const origins = this.#origins.all.slice(this.#originsSent);
    this.#originsSent = this.#origins.all.length;
    const batch: SentBatch = {
      number: ++this.#batches,
      origins,
      values: this.#values,
      runs: this.#values.length / VALUES_PER_RUN,
      bytes: this.#bytes,
      recorded: this.#recorded,
      crashes: 0,
    };
    this.#values = [];
    this.#bytes = 0;
    this.#recorded = Promise.withResolvers<boolean>();
    this.#sent.push(batch);
    if (this.#worker === undefined) this.#startWriter();
    // The process does not end while runs are on their way.
    this.#worker?.ref();
    this.#send({ number: batch.number, origins, values: batch.values });
  }

  #send(message: ToWriter): void {
    this.#worker?.postMessage(message);
  }

  #startWriter(): void {
    clearTimeout(this.#starter);
    const worker = new Worker(this.#module, {
      workerData: this.#options,
      name: "millrace-recorder",
      // Nothing of the service's command line is meant for it.
      execArgv: [],
      argv: [],
    });
    if (this.#sent.length === 0) worker.unref();
    let failure: unknown;
    worker.on("message", (message: FromWriter) => this.#acknowledge(message));
    worker.on("error", (error) => {
      failure = error;
    });
    worker.once("exit", () => {
      if (this.#worker === worker && !this.#closed) this.#replaceWriter(failure);
    });
    this.#worker = worker;
  }

  #acknowledge({ done, kept, recorded, spooled, dropped, lines }: FromWriter): void {
    this.stats.recorded = this.#before.recorded + recorded;
    this.stats.dropped = this.#before.dropped + dropped;
    this.stats.spooled = spooled;
    for (const line of lines) this.#log(line);
    let batch = this.#sent[0];
    while (batch !== undefined && batch.number <= done) {
      this.#settle(batch, kept);
      batch = this.#sent[0];
    }
    if (this.#sent.length === 0) this.#worker?.unref();
    if (this.#sync && this.#values.length > 0 && this.#sent.length === 0 && !this.#flushing) {
      this.#flushing = true;
      setImmediate(this.#flush);
    }
  }

  #settle(batch: SentBatch, kept: boolean): void {
    this.#sent.shift();
    this.stats.pending -= batch.runs;
    this.#pendingBytes -= batch.bytes;
    batch.recorded.resolve(kept);
  }

  /** The thread died: a fault of ours, or memory. What it had not acknowledged is sent again, but not for ever. */
  #replaceWriter(failure: unknown): void {
    const why = failure instanceof Error ? failure.message : "it ended";
    this.#log(logLine("error", `The recorder's writer died and is started again: ${why}`));
    this.#before = { recorded: this.stats.recorded, dropped: this.stats.dropped };
    this.#worker = undefined;
    const [first] = this.#sent;
    if (first !== undefined && ++first.crashes > 1) {
      this.#settle(first, false);
      this.#countDropped(first.runs);
    }
    if (this.#sent.length === 0) {
      this.#originsSent = 0;
      this.#post();
      return;
    }
    this.#startWriter();
    this.#originsSent = this.#origins.all.length;
    let origins = [...this.#origins.all];
    for (const batch of this.#sent) {
      this.#send({ number: batch.number, origins, values: batch.values });
      origins = [];
    }
  }

  #dropAll(message: string): void {
    const runs = this.#sent.reduce((sum, batch) => sum + batch.runs, 0);
    if (runs === 0) return;
    this.#log(logLine("error", message, { runs }));
    this.#countDropped(runs);
    for (const batch of [...this.#sent]) this.#settle(batch, false);
  }

  #drop(run: RunRecord, why: string): Promise<boolean> | undefined {
    this.#log(logLine("error", `A run was not recorded: ${why}.`, { runId: run.id }));
    this.#countDropped(1);
    return this.#sync ? Promise.resolve(false) : undefined;
  }

  #countDropped(runs: number): void {
    this.#before.dropped += runs;
    this.stats.dropped += runs;
  }
}
