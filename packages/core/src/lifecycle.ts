import { MillraceError } from "./errors.ts";

/** Every status that a deployment can have. */
export const DEPLOYMENT_STATUSES = ["ABSENT", "PENDING", "RUNNING", "ERROR", "UNKNOWN"] as const;
export type DeploymentStatus = (typeof DEPLOYMENT_STATUSES)[number];

export const STATUS_MEANING: Readonly<Record<DeploymentStatus, string>> = {
  ABSENT: "nothing of it exists on the platform",
  PENDING:
    "an operation is in flight, or ended at its deadline or with its process and can be picked up",
  RUNNING: "the platform says so, health answers, and the recorded snapshot serves",
  ERROR: "it exists and does not serve the recorded snapshot",
  UNKNOWN: "the platform could not be asked",
};

/**
 * What can happen to a deployment. Whether an operation succeeded is not in here: that is the operation's outcome.
 * The status follows only from what was started and what was observed last, so a failed update whose old snapshot
 * still serves ends with `observed.serving`.
 */
export const LIFECYCLE_EVENTS = [
  "operation.started",
  "operation.timed_out",
  "observed.serving",
  "observed.progressing",
  "observed.unhealthy",
  "observed.drifted",
  "observed.failed",
  "observed.absent",
  "observed.unreachable",
] as const;
export type LifecycleEvent = (typeof LIFECYCLE_EVENTS)[number];

export const EVENT_MEANING: Readonly<Record<LifecycleEvent, string>> = {
  "operation.started": "an operation begins, or one that crashed or timed out is picked up",
  "operation.timed_out": "the deadline passed while the platform was still at work",
  "observed.serving": "the platform says running, health answers, the recorded snapshot serves",
  "observed.progressing": "the platform is still at work on it",
  "observed.unhealthy": "the platform says running, but health does not answer",
  "observed.drifted": "it runs and is healthy, but serves another snapshot than the recorded one",
  "observed.failed": "the platform says that it failed",
  "observed.absent": "the platform says that nothing of it exists",
  "observed.unreachable": "the platform cannot be asked: network, throttling, credentials",
};

/** Marks a pair that cannot happen: `transition` refuses it. */
export const REFUSED = "refused";

type Row = Readonly<Record<DeploymentStatus, DeploymentStatus | typeof REFUSED>>;

/** The state machine: event, then status before, gives the status after. */
export const LIFECYCLE: Readonly<Record<LifecycleEvent, Row>> = {
  "operation.started": {
    ABSENT: "PENDING",
    PENDING: "PENDING",
    RUNNING: "PENDING",
    ERROR: "PENDING",
    UNKNOWN: "PENDING",
  },
  "operation.timed_out": {
    ABSENT: REFUSED,
    PENDING: "PENDING",
    RUNNING: REFUSED,
    ERROR: REFUSED,
    UNKNOWN: REFUSED,
  },
  "observed.serving": {
    ABSENT: "RUNNING",
    PENDING: "RUNNING",
    RUNNING: "RUNNING",
    ERROR: "RUNNING",
    UNKNOWN: "RUNNING",
  },
  "observed.progressing": {
    ABSENT: "PENDING",
    PENDING: "PENDING",
    RUNNING: "PENDING",
    ERROR: "PENDING",
    UNKNOWN: "PENDING",
  },
  // A service that is still starting does not answer yet: only one that had settled is broken.
  "observed.unhealthy": {
    ABSENT: "PENDING",
    PENDING: "PENDING",
    RUNNING: "ERROR",
    ERROR: "ERROR",
    UNKNOWN: "ERROR",
  },
  "observed.drifted": {
    ABSENT: "ERROR",
    PENDING: "ERROR",
    RUNNING: "ERROR",
    ERROR: "ERROR",
    UNKNOWN: "ERROR",
  },
  "observed.failed": {
    ABSENT: "ERROR",
    PENDING: "ERROR",
    RUNNING: "ERROR",
    ERROR: "ERROR",
    UNKNOWN: "ERROR",
  },
  "observed.absent": {
    ABSENT: "ABSENT",
    PENDING: "ABSENT",
    RUNNING: "ABSENT",
    ERROR: "ABSENT",
    UNKNOWN: "ABSENT",
  },
  "observed.unreachable": {
    ABSENT: "UNKNOWN",
    PENDING: "UNKNOWN",
    RUNNING: "UNKNOWN",
    ERROR: "UNKNOWN",
    UNKNOWN: "UNKNOWN",
  },
};

/**
 * The status after an event.
 * @throws MillraceError `LIFECYCLE_REFUSED` for a pair that cannot happen.
 */
export function transition(status: DeploymentStatus, event: LifecycleEvent): DeploymentStatus {
  const next = LIFECYCLE[event][status];
  if (next !== REFUSED) return next;
  throw new MillraceError({
    class: "internal",
    code: "LIFECYCLE_REFUSED",
    message: `The event ${event} cannot happen to a deployment that is ${status}.`,
    action: "Run `npx millrace deployment refresh` to bring the record in line with the platform.",
  });
}

/** A Mermaid state diagram of the table. */
export function lifecycleDiagram(): string {
  const arrows = new Map<string, string[]>();
  for (const event of LIFECYCLE_EVENTS) {
    for (const from of DEPLOYMENT_STATUSES) {
      const to = LIFECYCLE[event][from];
      if (to === REFUSED) continue;
      const arrow = `${from} --> ${to}`;
      arrows.set(arrow, [...(arrows.get(arrow) ?? []), event]);
    }
  }
  const lines = [...arrows].map(([arrow, events]) => `  ${arrow}: ${events.join("<br/>")}`);
  return ["stateDiagram-v2", "  [*] --> ABSENT", ...lines, ""].join("\n");
}

/** The table itself as Markdown. */
export function lifecycleTable(): string {
  const header = `| event | meaning | ${DEPLOYMENT_STATUSES.map((status) => `from ${status}`).join(" | ")} |`;
  const rule = `|${" --- |".repeat(DEPLOYMENT_STATUSES.length + 2)}`;
  const rows = LIFECYCLE_EVENTS.map(
    (event) =>
      `| \`${event}\` | ${EVENT_MEANING[event]} | ${DEPLOYMENT_STATUSES.map((from) => LIFECYCLE[event][from]).join(" | ")} |`,
  );
  return [header, rule, ...rows, ""].join("\n");
}
