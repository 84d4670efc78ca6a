import type { LifecycleEvent, MillraceError, Observation } from "@millrace/core";
import type { Health } from "./health.ts";

/** A revision together with the snapshot that it serves. */
export interface Revision {
  readonly revision: string;
  readonly snapshotId: string;
}

/** What was seen of a deployment: the platform's word, and the service's own where the platform gave a URL. */
export interface Sighting {
  readonly observation: Observation;
  /** Null when there was nobody to ask. */
  readonly health: Health | null;
}

/** What a sighting means, whatever operation is under way. */
export interface Finding {
  readonly event: LifecycleEvent;
  /** The revision that serves and is healthy. */
  readonly serving: Revision | null;
  readonly reason: string | null;
}

/**
 * Reads a sighting. `expected` are the revisions that the service may rightly serve: the recorded one, and the one that
 * an unfinished operation wanted.
 */
export function readSighting(
  { observation, health }: Sighting,
  expected: readonly Revision[],
): Finding {
  switch (observation.state) {
    case "absent":
      return {
        event: "observed.absent",
        serving: null,
        reason: "Nothing of it exists on the platform.",
      };
    case "progressing":
      return {
        event: "observed.progressing",
        serving: null,
        reason: "The platform is at work on it.",
      };
    case "failed":
      return {
        event: "observed.failed",
        serving: null,
        reason: observation.error?.message ?? "The platform says that it failed.",
      };
    case "running":
      return readRunning(observation, health, expected);
  }
}

function readRunning(
  observation: Observation,
  health: Health | null,
  expected: readonly Revision[],
): Finding {
  if (health === null || !health.ready) {
    const reason = health === null ? "The platform names no URL for it." : `${health.reason}.`;
    return { event: "observed.unhealthy", serving: null, reason };
  }
  const serving = { revision: health.revision, snapshotId: health.snapshotId };
  const platform = observation.serving?.revision;
  if (expected.some((one) => sameRevision(one, serving)) && platform === serving.revision) {
    return { event: "observed.serving", serving, reason: null };
  }
  const recorded = expected[0]?.snapshotId ?? "no snapshot";
  return {
    event: "observed.drifted",
    serving,
    reason: `It serves ${shortId(serving.snapshotId)} (revision ${shortId(serving.revision)}) instead of ${shortId(recorded)}.`,
  };
}

function sameRevision(a: Revision, b: Revision): boolean {
  return a.revision === b.revision && a.snapshotId === b.snapshotId;
}

function shortId(id: string): string {
  return id.replace(/^sha256:/, "").slice(0, 12);
}

/** Where a provision stands. */
export type ProvisionVerdict =
  | { readonly step: "wait"; readonly reason: string }
  | { readonly step: "succeeded" }
  /** The wanted revision failed. `finding` says what serves instead. */
  | { readonly step: "failed"; readonly error: MillraceError | null; readonly finding: Finding };

/** Decides whether a provision is done. The wanted revision has to serve by the platform's word and by its own. */
export function judgeProvision(
  sighting: Sighting,
  wanted: Revision,
  recorded: Revision | null,
): ProvisionVerdict {
  const { observation } = sighting;
  const rollout = observation.rollout?.revision === wanted.revision ? observation.rollout : null;
  const finding = readSighting(sighting, recorded === null ? [wanted] : [wanted, recorded]);
  if (
    finding.event === "observed.serving" &&
    finding.serving?.revision === wanted.revision &&
    rollout?.phase !== "progressing"
  ) {
    return { step: "succeeded" };
  }
  const alone = recorded === null ? [] : [recorded];
  if (rollout?.phase === "failed") {
    return {
      step: "failed",
      error: rollout.error ?? observation.error,
      finding: readSighting(sighting, alone),
    };
  }
  if (observation.state === "failed" && rollout?.phase !== "progressing") {
    return { step: "failed", error: observation.error, finding };
  }
  return { step: "wait", reason: finding.reason ?? "The new revision does not serve yet." };
}
