import type { ServingSettings } from "@millrace/core";
import type { Recorder } from "./recorder.ts";
import { runLogLine } from "./run-log-line.ts";

/** Without a store the log is the record. */
export function startLogRecorder(
  mode: ServingSettings["tracking"]["mode"],
  log: (line: string) => void,
  logWritten: () => Promise<boolean> = () => Promise.resolve(true),
): Recorder {
  const stats = { recorded: 0, spooled: 0, pending: 0, dropped: 0 };
  return {
    stats,
    record(run) {
      log(runLogLine(run));
      stats.recorded += 1;
      return mode === "sync" ? logWritten() : undefined;
    },
    close: () => Promise.resolve(),
  };
}
