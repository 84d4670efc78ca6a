import { appendFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { RunRecord, ServiceConfig, ServingSettings } from "@millrace/core";

export interface RecorderStats {
  /** Runs that are committed in the store, those that came by the spool included. */
  readonly recorded: number;
  /** Runs that are in the spool and not yet in the store. */
  readonly spooled: number;
  /** Runs in memory that are neither in the store nor in the spool. */
  readonly pending: number;
  /** Runs that were lost because neither store nor spool took them. */
  readonly dropped: number;
}

export interface Recorder {
  /**
   * Records a run that ended. Mode `sync`: a promise that resolves once it is recorded. Other modes: undefined when it is
   * queued, and a promise to wait for only under back-pressure. Never rejects: an unreachable store spools.
   */
  record(run: RunRecord): Promise<void> | undefined;
  readonly stats: RecorderStats;
  /** Records what is pending, within so many milliseconds, and stops. */
  close(deadlineMs: number): Promise<void>;
}

export interface RecorderOptions {
  readonly store: ServiceConfig["store"];
  readonly tracking: ServingSettings["tracking"];
  readonly projectId: string;
  /** Takes one line of JSON. */
  log(line: string): void;
}

/** Starts recording runs of this process. Sampling is the caller's: every run that is given is recorded. */
export function startRecorder(options: RecorderOptions): Recorder {
  const stats = { recorded: 0, spooled: 0, pending: 0, dropped: 0 };
  const { store, log } = options;
  if (store !== null) mkdirSync(store.spoolDirectory, { recursive: true, mode: 0o700 });
  return {
    stats,
    record(run) {
      const line = JSON.stringify(run);
      if (store === null) {
        log(line);
        stats.recorded += 1;
      } else {
        appendFileSync(join(store.spoolDirectory, `${process.pid}.ndjson`), `${line}\n`, {
          mode: 0o600,
        });
        stats.spooled += 1;
      }
      return options.tracking.mode === "sync" ? Promise.resolve() : undefined;
    },
    close: async () => {},
  };
}
