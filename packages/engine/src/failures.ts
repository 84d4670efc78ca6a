import {
  formatIssue,
  type Issue,
  isMillraceError,
  issuesOf,
  MillraceError,
  messageOf,
} from "@millrace/core";
import type { z } from "zod";
import type { ScheduledStep } from "./schedule.ts";

/** Why a run or a step did not complete. Each code is stable; `details.step` names the step. */

export function parametersInvalid(pipeline: string, issues: readonly Issue[]): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "PARAMETERS_INVALID",
    message: `The parameters of pipeline "${pipeline}" are not valid: ${issues.map(formatIssue).join("; ")}.`,
    action: "Correct what is named and try again.",
    issues,
  });
}

export function stepInputInvalid(step: ScheduledStep, error: z.ZodError): MillraceError {
  return stepValueInvalid(step, "input", issuesOf(error, step.definition.input));
}

export function stepOutputInvalid(step: ScheduledStep, error: z.ZodError): MillraceError {
  return stepValueInvalid(step, "output", issuesOf(error, step.definition.output));
}

function stepValueInvalid(
  step: ScheduledStep,
  what: "input" | "output",
  issues: readonly Issue[],
): MillraceError {
  return new MillraceError({
    class: "pipeline",
    code: what === "input" ? "STEP_INPUT_INVALID" : "STEP_OUTPUT_INVALID",
    message: `The ${what} of step "${step.id}" is not valid: ${issues.map(formatIssue).join("; ")}.`,
    action:
      what === "input"
        ? "Correct what is wired to the step, or its input schema."
        : "Correct what the step returns, or its output schema.",
    issues,
    details: { step: step.id },
  });
}

/** @param issue Its path begins with the name of the output. */
export function outputNotJson(step: string | null, issue: Issue, cause?: unknown): MillraceError {
  return new MillraceError({
    class: "pipeline",
    code: "OUTPUT_NOT_JSON",
    message: `An output of the pipeline is no JSON value: ${formatIssue(issue)}.`,
    action: `Return ${step === null ? "a plain JSON value" : `a plain JSON value from step "${step}"`}: for example an object in place of a Map, a string in place of a bigint.`,
    issues: [issue],
    details: step === null ? {} : { step },
    cause,
  });
}

export function stepFailed(step: ScheduledStep, attempts: number, cause: unknown): MillraceError {
  return new MillraceError({
    class: "pipeline",
    code: "STEP_FAILED",
    message: `Step "${step.id}" failed: ${messageOf(cause)}`,
    action: "See the run's log lines; correct the step, or what it depends on.",
    details: { step: step.id, attempts },
    cause,
  });
}

export function stepTimedOut(step: ScheduledStep, attempts: number): MillraceError {
  return new MillraceError({
    class: "timeout",
    code: "STEP_TIMEOUT",
    message: `Step "${step.id}" did not finish within ${(step.timeoutMs ?? 0) / 1000} s.`,
    action: "Make the step faster or its timeout longer.",
    details: { step: step.id, attempts },
  });
}

export function runTimedOut(askedMs: number): MillraceError {
  return new MillraceError({
    class: "timeout",
    code: "RUN_TIMEOUT",
    message: `The run did not finish within ${askedMs / 1000} s.`,
    action: "Ask for a longer deadline, or make the steps faster.",
  });
}

/** The signal's reason, where it says more than that it was aborted. */
export function runCancelled(reason: unknown): MillraceError {
  if (isMillraceError(reason)) return reason;
  return new MillraceError({
    class: "aborted",
    code: "RUN_CANCELLED",
    message: "The run was cancelled.",
    cause: reason,
  });
}
