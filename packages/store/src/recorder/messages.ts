import type { Batch } from "./batch.ts";

/** Where the writer thread writes to. The URL may hold a password: it goes from memory to memory only. */
export type WriterStore =
  | { readonly kind: "sqlite"; readonly file: string; readonly spoolDirectory: string }
  | { readonly kind: "postgres"; readonly url: string; readonly spoolDirectory: string };

/** What the writer thread is told when it starts. */
export interface WriterOptions {
  readonly store: WriterStore;
  readonly projectId: string;
  /** Whether what is recorded survives the death of the machine, not only that of the process. */
  readonly durable: boolean;
  readonly spoolBytes: number;
  readonly retentionDays: number;
  /** The deployment that is served; null for a batch run. */
  readonly deployment: DeploymentRuns | null;
}

export interface DeploymentRuns {
  readonly id: string;
  /** Milliseconds after which a run of it cannot be under way any more. */
  readonly longestRunMs: number;
}

/** To the writer: a batch, or `close`: finish and end within that time, in milliseconds. */
export type ToWriter = Batch | { readonly close: number };

/** From the writer, after each batch and whenever something changed. */
export interface FromWriter {
  /** Number of the last batch that is recorded or dropped. */
  readonly done: number;
  /** Whether the store or the spool has that batch. Each batch is told of by a message of its own. */
  readonly kept: boolean;
  readonly recorded: number;
  readonly spooled: number;
  readonly dropped: number;
  /** Lines for the log. */
  readonly lines: readonly string[];
}
