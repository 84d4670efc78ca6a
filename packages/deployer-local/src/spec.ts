import { type DeploymentRequest, MillraceError } from "@millrace/core";
import type { Spec } from "./control-protocol.ts";
import type { LocalSettings } from "./settings.ts";

/** Time for a process to begin and end, on top of what `onInit` may take. */
const START_ALLOWANCE_SECONDS = 30;

/** What the supervisor must know of a request; secrets are handed over beside it. */
export function specOf(request: DeploymentRequest<LocalSettings>): Spec {
  const { artefact, settings, serving } = request;
  if (artefact.kind !== "bundle") {
    throw new MillraceError({
      class: "internal",
      code: "ARTEFACT_NOT_BUNDLE",
      message: `A deployer of flavor local runs a bundle and was given an ${artefact.kind}.`,
    });
  }
  return {
    revision: request.revision,
    snapshot: request.snapshot,
    directory: artefact.directory,
    runtime: artefact.runtime,
    settings,
    startTimeoutSeconds:
      settings.startTimeoutSeconds ?? serving.initTimeoutSeconds + START_ALLOWANCE_SECONDS,
    drainSeconds: serving.drainSeconds,
    environment: request.environment,
  };
}
