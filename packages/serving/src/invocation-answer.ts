import { redact, type Secret, summarizeError } from "@millrace/core";
import type { Run } from "@millrace/engine";
import type { Problem } from "./problem.ts";
import { problemBody } from "./problem.ts";
import { jsonText, type RunTexts } from "./run-recording.ts";
import { originalStack } from "./source-map.ts";

/** Names in the metadata of every answer of `POST /invoke`. */
export interface InvocationNames {
  readonly deployment: { readonly id: string; readonly name: string };
  readonly snapshot: { readonly id: string; readonly name: string | null };
  readonly pipeline: string;
}

/**
 * Makes the bodies of `POST /invoke`. What is the same in all of them is serialised once; the rest is put in between,
 * because building an object first and serialising all of it costs twice as much.
 */
export function makeInvocationAnswers(names: InvocationNames) {
  const { deployment, snapshot, pipeline } = names;
  const metadata = {
    deployment_id: deployment.id,
    deployment_name: deployment.name,
    snapshot_id: snapshot.id,
    snapshot_name: snapshot.name,
    pipeline_name: pipeline,
  };
  const opened = `${JSON.stringify(metadata).slice(0, -1)},"run_id":"`;
  return {
    /** The body of a run that completed. */
    success(run: Run, { input, outputs }: RunTexts, recorded: boolean): string {
      const seconds = seconds6(run.durationMs ?? 0);
      const lost = recorded ? "" : ',"recorded":false';
      return `{"success":true,"outputs":${outputs},"execution_time":${seconds},"metadata":${opened}${run.id}","run_name":${JSON.stringify(run.name)},"parameters_used":${input ?? "null"}${lost}},"error":null}`;
    },
    /** The body of a request that failed: a problem, and beside it the members that a successful one has. */
    failure(
      problem: Problem,
      requestId: string,
      run: Run | undefined,
      recorded: boolean = true,
    ): string {
      return JSON.stringify({
        ...problemBody(problem, requestId),
        ...(run === undefined ? {} : { run_id: run.id }),
        success: false,
        outputs: null,
        execution_time: run === undefined ? null : seconds6(run.durationMs ?? 0),
        metadata: {
          ...metadata,
          run_id: run?.id ?? null,
          run_name: run?.name ?? null,
          parameters_used: run === undefined ? null : JSON.parse(jsonText(run.input) ?? "null"),
          ...(recorded ? {} : { recorded }),
        },
        error: {
          code: problem.code,
          message: problem.exposed?.message ?? problem.detail,
          step: problem.step ?? null,
          ...(problem.exposed === undefined ? {} : { stack: problem.exposed.stack }),
        },
      });
    },
  };
}

export type InvocationAnswers = ReturnType<typeof makeInvocationAnswers>;

/** Microseconds are as fine as anybody needs it. */
function seconds6(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1_000_000;
}

/** What the client is told of a run that did not complete. */
export function problemOfRun(run: Run, exposeErrors: boolean, secrets: readonly Secret[]): Problem {
  const { error } = run;
  switch (error?.code) {
    case "RUN_TIMEOUT":
      return { code: "RUN_TIMEOUT", detail: error.message };
    case "DRAINING":
      return { code: "DRAINING", detail: error.message, retryAfterSeconds: 1 };
    case "STEP_FAILED":
    case "STEP_TIMEOUT":
    case "STEP_INPUT_INVALID":
    case "STEP_OUTPUT_INVALID":
    case "OUTPUT_NOT_JSON":
      return {
        code: error.code,
        detail: `${run.failedStep === null ? "An output" : `Step "${run.failedStep}"`} of the run ${run.id} did not succeed; the service's log and the run's record say why.`,
        step: run.failedStep ?? undefined,
        exposed: exposeErrors ? exposed(error, secrets) : undefined,
      };
    default:
      return { code: "INTERNAL", detail: `The run ${run.id} ended as ${run.status}.` };
  }
}

function exposed(
  error: Error,
  secrets: readonly Secret[],
): { message: string; stack: string | null } {
  const stack = stackOf(error.cause);
  return {
    message: summarizeError(error, secrets).message,
    stack: stack === null ? null : redact(stack, secrets),
  };
}

/** Null where there is none, or none that can be read. */
function stackOf(cause: unknown): string | null {
  try {
    return cause instanceof Error ? originalStack(String(cause.stack)) : null;
  } catch {
    return null;
  }
}
