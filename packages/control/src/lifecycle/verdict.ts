import { type LifecycleEvent, MillraceError, type Observation } from "@millrace/core";
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

/** Which revisions a service may rightly serve. */
export interface Expected {
  /** What the record says; null until something served. */
  readonly recorded: Revision | null;
  /** What an operation that did not come to its end was to bring into service. */
  readonly wanted: Revision | null;
}

export function readSighting({ observation, health }: Sighting, expected: Expected): Finding {
  switch (observation.state) {
    case "absent":
      return finding("observed.absent", "Nothing of it exists on the platform.");
    case "progressing":
      return finding("observed.progressing", "The platform is at work on it.");
    case "failed":
      return finding(
        "observed.failed",
        observation.error?.message ?? "The platform says that it failed.",
      );
    case "running":
      return readRunning(observation, health, expected);
  }
}

function readRunning(
  observation: Observation,
  health: Health | null,
  { recorded, wanted }: Expected,
): Finding {
  if (health === null) return finding("observed.unhealthy", "The platform names no URL for it.");
  if (!health.ready) return finding("observed.unhealthy", `${health.reason}.`);
  const serving = { revision: health.revision, snapshotId: health.snapshotId };
  const agreed = observation.serving?.revision === serving.revision;
  if (agreed && sameRevision(wanted, serving)) return served(serving);
  if (agreed && sameRevision(recorded, serving)) {
    return isRollingOut(observation, wanted)
      ? finding("observed.progressing", "It serves while the platform rolls out the new revision.")
      : served(serving);
  }
  return {
    event: "observed.drifted",
    serving,
    reason: describeDrift(observation, serving, recorded),
  };
}

function finding(event: LifecycleEvent, reason: string): Finding {
  return { event, serving: null, reason };
}

function served(serving: Revision): Finding {
  return { event: "observed.serving", serving, reason: null };
}

export function sameRevision(a: Revision | null, b: Revision | null): boolean {
  return a !== null && b !== null && a.revision === b.revision && a.snapshotId === b.snapshotId;
}

function isRollingOut({ rollout }: Observation, wanted: Revision | null): boolean {
  return rollout?.phase === "progressing" && rollout.revision === wanted?.revision;
}

function describeDrift(
  observation: Observation,
  serving: Revision,
  recorded: Revision | null,
): string {
  const says = `It says that it serves ${shown(serving)}`;
  const { serving: platform } = observation;
  if (platform?.revision !== serving.revision)
    return `${says}; the platform says ${platform === null ? "none" : shown(platform)}.`;
  return `${says}; the record says ${recorded === null ? "none" : shown(recorded)}.`;
}

function shown({ snapshotId, revision }: Revision): string {
  return `snapshot ${shortId(snapshotId)} (revision ${shortId(revision)})`;
}

function shortId(id: string): string {
  return id.replace(/^sha256:/, "").slice(0, 12);
}

/** Where a provision stands. */
export type ProvisionVerdict =
  | { readonly step: "wait"; readonly reason: string }
  | { readonly step: "succeeded" }
  /** By this reading. Platforms show late what they did, so it takes several to believe it. */
  | { readonly step: "failed"; readonly error: MillraceError };

/**
 * Decides by one sighting whether a provision is done: the wanted revision has to serve by the platform's word and by
 * its own. `journalEmpty` says that the deployer intended no resource, so that there is nothing to wait for.
 */
export function judgeProvision(
  sighting: Sighting,
  wanted: Revision,
  recorded: Revision | null,
  journalEmpty: boolean,
): ProvisionVerdict {
  const { observation } = sighting;
  const { event, serving, reason } = readSighting(sighting, { recorded, wanted });
  // A platform that speaks of another revision's roll-out does not show the new one yet.
  const current = observation.rollout === null || observation.rollout.revision === wanted.revision;
  const phase = current ? observation.rollout?.phase : undefined;
  if (event === "observed.serving" && sameRevision(wanted, serving)) {
    return phase === "progressing"
      ? wait("The roll-out is coming to its end.")
      : { step: "succeeded" };
  }
  if (event === "observed.absent")
    return journalEmpty ? failed(nothingMade()) : wait("The platform does not show it yet.");
  if (phase === "failed") {
    // The platform may be going back to the revision before.
    return event === "observed.progressing"
      ? wait("The roll-out failed; the platform is still at work.")
      : failed(observation.rollout?.error ?? observation.error ?? noReason());
  }
  if (event === "observed.failed" && current && phase !== "progressing")
    return failed(observation.error ?? noReason());
  return wait(reason ?? "The new revision does not serve yet.");
}

function wait(reason: string): ProvisionVerdict {
  return { step: "wait", reason };
}

function failed(error: MillraceError): ProvisionVerdict {
  return { step: "failed", error };
}

function noReason(): MillraceError {
  return new MillraceError({
    class: "platform",
    code: "ROLLOUT_FAILED",
    message: "The platform says that the roll-out failed, and not why.",
  });
}

function nothingMade(): MillraceError {
  return new MillraceError({
    class: "platform",
    code: "NOTHING_MADE",
    message: "The deployer made no resource.",
  });
}
