import { isIPv6 } from "node:net";
import {
  type DeploymentTarget,
  type JsonObject,
  MillraceError,
  type Observation,
} from "@millrace/core";
import type { Endpoint } from "./door-container.ts";
import { doorGone } from "./door-error.ts";
import type { Engine } from "./engine.ts";
import { errorOf, exitError } from "./failure.ts";
import { lastEnd } from "./last-end.ts";
import { containerResource, hostOf, type Names, networkResource, spoolResource } from "./names.ts";
import {
  type Door,
  doorInUse,
  hasEnded,
  type Service,
  type Sight,
  servingOf,
  targetOf,
} from "./sight.ts";

/** From so many restarts in a row on, a container that dies again and again counts as failed. */
const RESTARTS = 4;

/** What a sight means. Reads the log of a container that failed. */
export async function observe(
  engine: Engine,
  engineHost: string | null,
  names: Names,
  target: DeploymentTarget,
  sight: Sight,
): Promise<Observation> {
  const { network, next, service, spool } = sight;
  const door = doorInUse(sight);
  const resources = [
    ...(network === null ? [] : [{ ...networkResource(names), platformId: network.id }]),
    ...(spool === null ? [] : [{ ...spoolResource(names), platformId: null }]),
    ...[sight.door, sight.nextDoor, service, next].flatMap((one) =>
      one === null ? [] : [{ ...containerResource(one.name), platformId: one.id }],
    ),
  ];
  const endpoint = door?.endpoint ?? rememberedEndpoint(target);
  const metadata = endpoint === null ? {} : { bind: endpoint.bind, port: endpoint.port };
  if (resources.length === 0) {
    const nothing = { url: null, serving: null, rollout: null, error: null };
    return { state: "absent", ...nothing, resources, metadata };
  }
  const serving = servingOf(sight);
  const { state, error } =
    serving === null
      ? await whyNothingServes(engine, names, sight)
      : { state: "running" as const, error: null };
  return {
    state,
    url: door === null ? null : urlOf(door.endpoint, engineHost),
    serving:
      serving === null ? null : { revision: serving.revision, snapshotId: serving.snapshotId },
    rollout: await rolloutOf(engine, sight, error),
    error,
    resources,
    metadata: {
      ...metadata,
      containers: await Promise.all(
        [service, next].filter((one) => one !== null).map((one) => shown(engine, one)),
      ),
    },
  };
}

/** A container for people. One that the engine starts again and again serves, and yet something is wrong with it. */
async function shown(engine: Engine, service: Service): Promise<JsonObject> {
  const { id, name, restarts, status } = service;
  const container = { name, id: id.slice(0, 12), status };
  if (restarts === 0 || status !== "running") return container;
  return { ...container, restarts, lastEnd: await lastEnd(engine, service) };
}

async function whyNothingServes(
  engine: Engine,
  names: Names,
  sight: Sight,
): Promise<{ readonly state: "progressing" | "failed"; readonly error: MillraceError | null }> {
  const { network, service, next } = sight;
  const door = doorInUse(sight);
  const failed = (error: MillraceError) => ({ state: "failed" as const, error });
  const newest = next ?? service;
  const failure = door?.state?.failure ?? null;
  if (failure !== null && (newest === null || failure.revision === newest.revision))
    return failed(errorOf(failure));
  if (newest !== null && isDown(newest)) return failed(await exitError(engine, newest));
  if (newest === null || network === null || door === null || isCutOff(door, newest))
    return failed(doorGone(names, { door, network, service: newest }));
  if (!isAwaited(newest, door)) return failed(interrupted(newest));
  return { state: "progressing", error: null };
}

/** Whether the door will send everybody there without anybody's help, once it is ready. */
function isAwaited({ revision, status }: Service, { state }: Door): boolean {
  if (status === "created") return false;
  // A door that has just started has not said anything yet.
  if (state === null) return true;
  return [state.candidate, state.target].some((backend) => backend?.host === hostOf(revision));
}

function interrupted({ name }: Service): MillraceError {
  return new MillraceError({
    class: "platform",
    code: "DEPLOY_INTERRUPTED",
    message: `The deploy that made the container ${name} ended before the container was put into service.`,
    action: "Deploy again: it goes on where that one stood.",
  });
}

/** Nobody but an operator will bring them together again. */
function isCutOff({ joined, status }: Door, service: Service): boolean {
  const hasEnded = status === "exited" || status === "dead" || status === "paused";
  return hasEnded || !joined || !service.joined;
}

function isDown(service: Service): boolean {
  if (hasEnded(service) || service.status === "paused") return true;
  return service.status === "restarting" && service.restarts >= RESTARTS;
}

async function rolloutOf(
  engine: Engine,
  sight: Sight,
  error: MillraceError | null,
): Promise<Observation["rollout"]> {
  const { next, service } = sight;
  const door = doorInUse(sight);
  const failure = door?.state?.failure ?? null;
  if (failure !== null)
    return { revision: failure.revision, phase: "failed", error: errorOf(failure) };
  const newest = next ?? service;
  if (newest === null) return null;
  const { revision } = newest;
  if (newest === targetOf(door?.state ?? null, service, next))
    return error === null || next === null
      ? { revision, phase: "complete", error: null }
      : { revision, phase: "failed", error };
  if (isDown(newest))
    return { revision, phase: "failed", error: error ?? (await exitError(engine, newest)) };
  if (door !== null && !isAwaited(newest, door))
    return { revision, phase: "failed", error: error ?? interrupted(newest) };
  return { revision, phase: "progressing", error: null };
}

/** Where the deployment was published when it was last seen. */
export function rememberedEndpoint({
  metadata,
}: Pick<DeploymentTarget, "metadata">): Endpoint | null {
  const { bind, port } = metadata;
  return typeof bind === "string" && typeof port === "number" ? { bind, port } : null;
}

/**
 * Where clients on this machine reach the port. An address that means every interface, or the loopback of another machine, is
 * reached at the engine's.
 */
function urlOf({ bind, port }: Endpoint, engineHost: string | null): string {
  const everywhere = bind === "0.0.0.0" || bind === "::";
  const host = everywhere ? (engineHost ?? "127.0.0.1") : bind;
  return `http://${isIPv6(host) ? `[${host}]` : host}:${port}`;
}
