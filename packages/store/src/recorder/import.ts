import type { Store } from "../store.ts";

export interface RunImportOptions {
  /** Project that the runs belong to. */
  readonly projectId: string;
  /** Takes runs of other projects into this one, as after a move to another store. Default: they are bad lines. */
  readonly adopt?: boolean;
  /** Stops between two batches. */
  readonly signal?: AbortSignal;
}

/** What came of reading runs back into the store. */
export interface RunImport {
  readonly lines: number;
  /** Runs that were read. */
  readonly runs: number;
  /** Those of them that the store did not have, or had as running or interrupted. */
  readonly recorded: number;
  /** Lines about something else. */
  readonly skipped: number;
  /** Lines that are about a run and cannot be read. */
  readonly badLines: number;
  /** The first hundred of them, by number from 1. */
  readonly bad: readonly { readonly line: number; readonly reason: string }[];
}

/**
 * Reads runs from a service's log, or from a spool, back into the store: lines that record runs are taken, others skipped.
 * Each run is written whole or not at all; the same lines again change nothing.
 * @throws MillraceError `STORE_…`
 */
export async function importRuns(
  store: Store,
  source: AsyncIterable<Uint8Array>,
  options: RunImportOptions,
): Promise<RunImport> {
  const { importLines } = await import("./run-import.ts");
  return importLines(store, source, options);
}

/** What came of the spools of a folder. */
export interface SpoolImport {
  readonly recorded: number;
  /** Files that stay: a living process has them, or they hold lines that cannot be read. */
  readonly left: readonly string[];
}

/**
 * Reads the spools of a folder, which may be missing, back into the store, and removes each that was read whole.
 * @throws MillraceError `STORE_…`
 */
export async function importSpools(
  store: Store,
  directory: string,
  options: RunImportOptions,
): Promise<SpoolImport> {
  const { importFolder } = await import("./spool-import.ts");
  return importFolder(store, directory, options);
}
