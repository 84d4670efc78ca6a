import type { Logger } from "@millrace/core";
import type { Run } from "@millrace/engine";

/** Logs how a run ended that did not complete. That its caller gave up on it is no failure of the service. */
export function logEnd(log: Logger, run: Run, code?: string): void {
  const { error, failedStep, id, status } = run;
  if (error === null) return;
  if (error.code === "RUN_CANCELLED") {
    log.info(error.message, { run_id: id });
    return;
  }
  log.error(`The run ${status === "cancelled" ? "was cancelled" : status.replace("_", " ")}.`, {
    run_id: id,
    step: failedStep ?? undefined,
    code,
    error: error.cause ?? error,
  });
}
