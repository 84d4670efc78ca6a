import type { ErrorSummary } from "@millrace/core";
import type { Origin, Value } from "./batch.ts";

/** Writes runs into a store, for the writer thread alone. One for each kind of database. */
export interface RunWriter {
  /**
   * Commits runs in one transaction. The same run twice is one run; one that was recorded as `running` is replaced, and one that
   * was taken for interrupted is by its end. Values are as in a batch; `origins` are all that their numbers stand for. Throws when nothing was written, or nobody knows: writing again is safe.
   */
  write(values: readonly Value[], origins: readonly Origin[]): void | Promise<void>;
  /** The same for runs of a spool, which nothing waits for. */
  writeSpooled(values: readonly Value[], origins: readonly Origin[]): void | Promise<void>;
  /** Deletes at most `limit` old runs; returns how many. */
  prune(retention: Retention, limit: number): number | Promise<number>;
  /** Ends runs whose process is gone; returns how many. */
  interrupt(overdue: Overdue): number | Promise<number>;
  /** Whether a failure only says that another process is writing, which passes by itself. */
  isPassing(thrown: unknown): boolean;
  close(): void | Promise<void>;
}

/** Runs of a deployment that are recorded as `running` and began longer ago than any run may take. */
export interface Overdue {
  readonly deploymentId: string;
  /** Runs with a lower id began before that. */
  readonly beforeId: string;
}

/** What the record of a run says that ended with its process. */
export const INTERRUPTED: ErrorSummary = {
  class: "platform",
  code: "RUN_INTERRUPTED",
  message: "The process that ran it ended before the run did.",
  retryable: true,
};

export interface Retention {
  readonly projectId: string;
  /** The deployment whose runs are ours to delete, empty for batch runs; those of deployments that are no more come with them. */
  readonly deploymentId: string;
  /** Runs with a lower id are old. */
  readonly beforeId: string;
}
