import type { Endpoint } from "./door-container.ts";
import { DOOR_PROTOCOL } from "./door-contract.ts";
import { type Request, spoolOf } from "./service-container.ts";
import type { DockerSettings } from "./settings.ts";
import { type Door, hasEnded, type Service, type Sight, servingOf, targetOf } from "./sight.ts";

/** One step on the way to a revision. */
export type Step =
  | { readonly do: "create network" | "create spool" | "resume door" | "start door" }
  /** Networks go by their id, since two may have one name. */
  | { readonly do: "create door"; readonly network: string }
  /** Opens one at another address beside it, which knows what it knows. */
  | {
      readonly do: "replace door";
      readonly door: Door;
      readonly endpoint: Endpoint;
      readonly network: string;
    }
  | { readonly do: "remove door"; readonly door: Door }
  /** The one whose place it takes is gone. */
  | { readonly do: "rename door"; readonly door: Door }
  /** A container that nobody is sent to. */
  | { readonly do: "remove"; readonly service: Service }
  /** Nobody is sent to it any more; what it has begun it may finish. */
  | { readonly do: "drain"; readonly service: Service }
  /** It serves, and takes the name of the one before it. */
  | { readonly do: "rename"; readonly service: Service }
  | { readonly do: "create"; readonly name: "service" | "next"; readonly network: string }
  /** It was created; what is missing is given to it, and it is started. */
  | { readonly do: "start"; readonly service: Service }
  /** Waits until it is ready, and then sends everybody there. */
  | { readonly do: "await"; readonly service: Service }
  /** It serves, so the engine shall start it again when it ends. */
  | { readonly do: "keep up"; readonly service: Service }
  /** It serves, and what the door waits for or says of a failure is over. */
  | { readonly do: "settle" }
  | { readonly do: "nothing" };

/** What of a request says how to go on. */
export interface Wanted extends Pick<Request, "environment" | "revision"> {
  readonly settings: Pick<DockerSettings, "bind" | "port" | "restart">;
}

export type StepTo<What extends Step["do"]> = Extract<Step, { readonly do: What }>;

/**
 * What has to be done next so that a revision serves. It follows from what exists alone, so that a deploy goes on wherever
 * another one was killed.
 */
export function nextStep(sight: Sight, { environment, revision, settings }: Wanted): Step {
  const { door, network, next, nextDoor, service, spool } = sight;
  if (network === null) return { do: "create network" };
  if (spool === null && spoolOf({ environment }) !== null) return { do: "create spool" };
  if (door === null) {
    if (nextDoor === null) return { do: "create door", network: network.id };
    return { do: isLost(nextDoor) ? "remove door" : "rename door", door: nextDoor };
  }
  const mustGo = isLost(door) || mustReplaceDoor(door, settings);
  if (nextDoor !== null) {
    const takesOver = mustGo && isOpen(nextDoor) && isAt(nextDoor, wantedEndpoint(door, settings));
    return { do: "remove door", door: takesOver ? door : nextDoor };
  }
  if (isLost(door)) return { do: "remove door", door };
  if (mustGo) {
    const endpoint = wantedEndpoint(door, settings);
    return { do: "replace door", door, endpoint, network: network.id };
  }
  if (door.status === "paused") return { do: "resume door" };
  if (door.status !== "running") return { do: "start door" };
  const target = targetOf(door.state, service, next);
  // A switch that was interrupted: what serves is not what is called so.
  if (next !== null && target === next) {
    // To drain may take minutes.
    if (next.restart !== settings.restart) return { do: "keep up", service: next };
    return service === null ? { do: "rename", service: next } : { do: "drain", service };
  }
  if (service !== null && service === servingOf(sight)) {
    if (next !== null && !mayServe(next, revision)) return { do: "remove", service: next };
    if (service.revision === revision) {
      // Another deploy made it when this one was done already. Both have the name that the door knows: it may have requests.
      if (next !== null) return { do: "drain", service: next };
      if (service.restart !== settings.restart) return { do: "keep up", service };
      const { candidate = null, failure = null } = door.state ?? {};
      return candidate === null && failure === null ? { do: "nothing" } : { do: "settle" };
    }
    return next === null ? { do: "create", name: "next", network: network.id } : goOn(next);
  }
  if (next !== null) return { do: "remove", service: next };
  if (service === null) return { do: "create", name: "service", network: network.id };
  return mayServe(service, revision) ? goOn(service) : { do: "remove", service };
}

/** It cannot be started, or ends again and again. Only when it never was, it was not given all its files. */
function isLost({ joined, status }: Door): boolean {
  return !joined || LOST.has(status);
}

const LOST: ReadonlySet<string> = new Set(["created", "dead", "removing", "restarting"]);

/** It has its port, and has said that it follows its route. */
function isOpen({ joined, state, status }: Door): boolean {
  return joined && status === "running" && state !== null;
}

function goOn(service: Service): Step {
  return service.status === "created" ? { do: "start", service } : { do: "await", service };
}

/** The door cannot be given another address, and one of another protocol would not understand what it is told. */
export function mustReplaceDoor(
  door: Door,
  settings: Pick<DockerSettings, "bind" | "port">,
): boolean {
  return !isAt(door, wantedEndpoint(door, settings));
}

function isAt({ endpoint, protocol }: Door, { bind, port }: Endpoint): boolean {
  return protocol === DOOR_PROTOCOL && bind === endpoint.bind && port === endpoint.port;
}

/** Where a door shall be; it keeps its port unless another one is configured. */
export function wantedEndpoint(
  { endpoint }: Door,
  { bind, port = endpoint.port }: Pick<DockerSettings, "bind" | "port">,
): Endpoint {
  return { bind, port };
}

function mayServe(service: Service, revision: string): boolean {
  return (
    service.revision === revision &&
    service.joined &&
    !hasEnded(service) &&
    service.status !== "paused" &&
    service.status !== "removing"
  );
}
