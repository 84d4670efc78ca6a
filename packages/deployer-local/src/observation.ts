import { isIPv6 } from "node:net";
import {
  type DeploymentTarget,
  type ErrorSummary,
  errorFromSummary,
  MillraceError,
  type Observation,
  type ResourceKey,
} from "@millrace/core";
import type { State, Status } from "./control-protocol.ts";
import type { Places } from "./places.ts";
import type { ProcessIdentity } from "./process-identity.ts";

export function processResource(places: Places): ResourceKey {
  return { kind: "process", name: places.name };
}

export function folderResource(places: Places): ResourceKey {
  return { kind: "folder", name: places.name };
}

/** What a supervisor that answers says of the deployment. */
export function observe(places: Places, status: Status): Observation {
  const state = stateOf(status);
  const serving = state === "running" ? status.current : null;
  return {
    state,
    url: status.stopping ? null : urlOf(status.host, status.port),
    serving:
      serving === null ? null : { revision: serving.revision, snapshotId: serving.snapshot.id },
    rollout:
      status.rollout === null
        ? null
        : { ...status.rollout, error: errorOrNull(status.rollout.error) },
    error: state === "failed" ? errorOrNull(status.error) : null,
    resources: [
      { ...folderResource(places), platformId: places.folder },
      { ...processResource(places), platformId: String(status.pid) },
    ],
    metadata: {
      host: status.host,
      port: status.port,
      supervisor: status.pid,
      workers: status.workers.map(({ replica, pid, state: phase }) => ({
        replica,
        pid,
        state: phase,
      })),
      restarts: status.restarts,
      logs: places.logs,
    },
  };
}

function stateOf(status: Status): Observation["state"] {
  if (status.stopping) return "progressing";
  if (status.ready > 0) return "running";
  if (status.next !== null) return "progressing";
  return status.error === null ? "progressing" : "failed";
}

/** What is there of a deployment whose supervisor does not answer. */
export interface Remains {
  readonly hasFolder: boolean;
  readonly state: State | null;
  /** The supervisor's process, where it runs. */
  readonly supervisor: ProcessIdentity | null;
}

/** The supervisor is gone and what it kept is still there: a provision starts another one on the same port. */
export function observeGone(places: Places, remains: Remains): Observation {
  const { hasFolder, state, supervisor } = remains;
  return {
    state: "failed",
    url: state === null ? null : urlOf(state.host, state.port),
    serving: null,
    rollout: null,
    error: new MillraceError({
      class: "platform",
      code: "SUPERVISOR_GONE",
      ...wordsOfGone(places, remains),
      details: { folder: places.folder },
    }),
    resources: [
      ...(hasFolder ? [{ ...folderResource(places), platformId: places.folder }] : []),
      ...(supervisor === null
        ? []
        : [{ ...processResource(places), platformId: String(supervisor.pid) }]),
    ],
    metadata:
      state === null
        ? {}
        : { host: state.host, port: state.port, restarts: state.restarts, logs: places.logs },
  };
}

function wordsOfGone({ folder }: Places, { state, supervisor }: Remains) {
  if (supervisor !== null)
    return {
      message: `Its supervisor (process ${supervisor.pid}) runs, and cannot be asked at ${folder}: the folder was moved or deleted, or its control socket was.`,
      action:
        "Move the folder back, or provision the deployment: that process is ended, and another one starts on the same port.",
    };
  return {
    message: `Its supervisor${state === null ? "" : ` (process ${state.pid})`} is gone.`,
    action: "Provision the deployment: it starts again on the same port.",
  };
}

/** Nothing exists. The port is remembered, so that the URL is the same when the deployment comes back. */
export function observeAbsent(remembered: Endpoint | null): Observation {
  return {
    state: "absent",
    url: null,
    serving: null,
    rollout: null,
    error: null,
    resources: [],
    metadata: remembered === null ? {} : { host: remembered.host, port: remembered.port },
  };
}

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** Where the deployment listened when it was last seen. */
export function rememberedEndpoint({
  metadata,
}: Pick<DeploymentTarget, "metadata">): Endpoint | null {
  const { host, port } = metadata;
  return typeof host === "string" && typeof port === "number" ? { host, port } : null;
}

function errorOrNull(summary: ErrorSummary | null): MillraceError | null {
  return summary === null ? null : errorFromSummary(summary);
}

/** An address that means every interface is reached through loopback. */
export function urlOf(host: string, port: number): string {
  const reachable = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  return `http://${isIPv6(reachable) ? `[${reachable}]` : reachable}:${port}`;
}
