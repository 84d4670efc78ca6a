import { type DeploymentTarget, type ResourceKey, resourceName } from "@millrace/core";

/** Longest name that is also a host name, which containers are reached by (RFC 1035). */
const MAX_LENGTH = 63;

/** Names of everything that a deployment has. They follow from its id alone, so that renaming it changes nothing. */
export interface Names {
  readonly network: string;
  readonly door: string;
  /** The door that takes its place at another address, until the old one is gone. */
  readonly nextDoor: string;
  /** The container that serves. */
  readonly service: string;
  /** The container that takes its place in an update, until it serves. */
  readonly next: string;
  /** The volume of runs that wait for the store. */
  readonly spool: string;
}

export function namesOf({ id }: Pick<DeploymentTarget, "id">): Names {
  const base = resourceName({ id, name: "" }, { maxLength: MAX_LENGTH - "-door-next".length });
  return {
    network: base,
    door: `${base}-door`,
    nextDoor: `${base}-door-next`,
    service: `${base}-service`,
    next: `${base}-next`,
    spool: `${base}-spool`,
  };
}

/** What a service container of a revision is called within the deployment's network, whatever the container's name is. */
export function hostOf(revision: string): string {
  return `r-${revision.slice(0, 40)}`;
}

export function networkResource({ network }: Names): ResourceKey {
  return { kind: "network", name: network };
}

export function containerResource(name: string): ResourceKey {
  return { kind: "container", name };
}

export function spoolResource({ spool }: Pick<Names, "spool">): ResourceKey {
  return { kind: "volume", name: spool };
}

export const LABELS = {
  deployment: "dev.millrace.deployment",
  name: "dev.millrace.name",
  project: "dev.millrace.project",
  role: "dev.millrace.role",
  revision: "dev.millrace.revision",
  snapshot: "dev.millrace.snapshot",
  /** Of an image that a Dockerfile made for others to be put on. */
  base: "dev.millrace.base",
  /** What the container was made from, as JSON, so that a plan can say what differs. */
  spec: "dev.millrace.spec",
} as const;

export type Role = "network" | "door" | "service" | "secrets" | "spool";

export function labelsOf(deployment: DeploymentTarget, role: Role): Record<string, string> {
  return {
    [LABELS.deployment]: deployment.id,
    [LABELS.name]: deployment.name,
    [LABELS.project]: deployment.project,
    [LABELS.role]: role,
  };
}
