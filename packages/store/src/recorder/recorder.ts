import type { RunRecord, Secret, ServingSettings } from "@millrace/core";
import { startLogRecorder } from "./log-recorder.ts";
import type { DeploymentRuns } from "./messages.ts";
import { ThreadRecorder } from "./thread-recorder.ts";

export interface RecorderStats {
  /** Runs that this process committed to the store, directly or from a spool. */
  readonly recorded: number;
  /** Runs that are in a spool of this process now and wait for the store. */
  readonly spooled: number;
  /** Runs in memory that are neither in the store nor in the spool. */
  readonly pending: number;
  /** Runs that were lost because neither store nor spool took them. */
  readonly dropped: number;
}

/** JSON text of a run's payloads, for callers that have it already. */
export interface RunTexts {
  readonly inputs: string;
  /** Null as in the record. */
  readonly outputs: string | null;
}

export interface Recorder {
  /**
   * Records a run. Mode `sync`: a promise that resolves once it is recorded, to false when neither store nor spool took
   * it. Other modes: undefined when it is queued, and a promise to wait for only under back-pressure. Never rejects:
   * while the store cannot be reached, runs go to the spool and from there to the store. Texts that are given are taken
   * in place of the record's inputs and outputs.
   */
  record(run: RunRecord, texts?: RunTexts): Promise<boolean> | undefined;
  readonly stats: RecorderStats;
  /** Records what is pending, within so many milliseconds, and stops. */
  close(deadlineMs: number): Promise<void>;
}

/** Where runs are recorded. The folder takes them while the store cannot be reached. */
export type RunStore =
  | { readonly kind: "sqlite"; readonly file: string; readonly spoolDirectory: string }
  | { readonly kind: "postgres"; readonly url: Secret; readonly spoolDirectory: string };

export interface RecorderOptions {
  /** Null writes runs as lines of the log. */
  readonly store: RunStore | null;
  readonly tracking: ServingSettings["tracking"];
  /** Project whose old runs are deleted. */
  readonly projectId: string;
  /**
   * The deployment that is served: its old runs are deleted, and those that its processes did not end are marked as interrupted.
   * Default none: old batch runs are deleted, when this process ends at the latest.
   */
  readonly deployment?: DeploymentRuns;
  /** Takes one line of JSON: the recorder's own messages, and the runs when there is no store. */
  log(line: string): void;
  /** Resolves once the lines so far are written: whether they are. Default: they are when `log` returns. */
  logWritten?(): Promise<boolean>;
}

/** Starts recording runs of this process. Sampling is the caller's: every run that it is given is recorded. */
export function startRecorder({
  store,
  tracking,
  projectId,
  deployment,
  log,
  logWritten,
}: RecorderOptions): Recorder {
  if (store === null) return startLogRecorder(tracking.mode, log, logWritten);
  return new ThreadRecorder(
    {
      store: store.kind === "sqlite" ? store : { ...store, url: store.url.reveal() },
      projectId,
      durable: tracking.mode === "sync" && tracking.durability === "machine",
      spoolBytes: tracking.spoolBytes,
      retentionDays: tracking.retentionDays,
      deployment: deployment ?? null,
    },
    tracking.mode === "sync",
    log,
  );
}
