import type { ServingSettings } from "@millrace/core";
import { logLine } from "./log-line.ts";
import type { Recorder } from "./recorder.ts";

/** Without a store the log is the record. */
export function startLogRecorder(
  mode: ServingSettings["tracking"]["mode"],
  log: (line: string) => void,
): Recorder {
  const stats = { recorded: 0, spooled: 0, pending: 0, dropped: 0 };
  const done = mode === "sync" ? Promise.resolve() : undefined;
  return {
    stats,
    record(run) {
      log(logLine("info", "Run recorded.", { run }));
      stats.recorded += 1;
      return done;
    },
    close: () => Promise.resolve(),
  };
}
