import {
  type FieldChange,
  fieldChanges,
  type Plan,
  type ResourceChange,
  type SecretDigests,
  secretChanges,
} from "@millrace/core";
import { DOOR_PROTOCOL } from "./door-contract.ts";
import { containerResource, type Names, networkResource, spoolResource } from "./names.ts";
import { type Request, specOf, spoolOf } from "./service-container.ts";
import { type Door, doorInUse, type Service, type Sight, servingOf } from "./sight.ts";
import { mustReplaceDoor, wantedEndpoint } from "./step.ts";

/** What provision would do with what exists. */
export function planOf(
  names: Names,
  sight: Sight,
  request: Request,
  secrets: SecretDigests | null,
): Plan {
  const door = doorInUse(sight);
  const changes = [
    networkChange(names, sight),
    ...spoolChanges(names, sight, request),
    ...doorChanges(names, sight, request),
    ...serviceChanges(names, sight, request, secrets),
  ];
  return {
    action: strongest(changes),
    changes,
    interrupts: door !== null && mustReplaceDoor(door, request.settings),
  };
}

const STRENGTH = ["no-op", "delete", "update", "create", "replace"] as const;

/** Something that exists is updated, also where a part of it has to be made anew. */
function strongest(changes: readonly ResourceChange[]): Plan["action"] {
  if (changes.every(({ action }) => action === "create")) return "create";
  const last = Math.max(...changes.map(({ action }) => STRENGTH.indexOf(action)));
  const action = STRENGTH[last] ?? "no-op";
  return action === "delete" || action === "create" ? "update" : action;
}

function networkChange(names: Names, { network }: Sight): ResourceChange {
  return { ...networkResource(names), action: network === null ? "create" : "no-op", fields: [] };
}

/** One that no container needs any more stays until the deployment goes: runs may wait there. */
function spoolChanges(names: Names, { spool }: Sight, request: Request): ResourceChange[] {
  const resource = { ...spoolResource(names), fields: [] };
  if (spool !== null) return [{ ...resource, action: "no-op" }];
  return spoolOf(request) === null ? [] : [{ ...resource, action: "create" }];
}

/** One that an operation before this one left, under a name that is not there in the end. */
function leftover(one: Door | Service | null): ResourceChange[] {
  return one === null ? [] : [{ ...containerResource(one.name), action: "delete", fields: [] }];
}

function doorChanges(names: Names, { door, nextDoor }: Sight, request: Request): ResourceChange[] {
  return [doorChange(names, door, request), ...leftover(nextDoor)];
}

function doorChange(names: Names, door: Door | null, { settings }: Request): ResourceChange {
  const resource = containerResource(names.door);
  if (door === null) return { ...resource, action: "create", fields: [] };
  if (mustReplaceDoor(door, settings)) {
    const { endpoint, protocol } = door;
    const wanted = { ...wantedEndpoint(door, settings), protocol: DOOR_PROTOCOL };
    const fields = fieldChanges({ ...endpoint, protocol }, wanted);
    return { ...resource, action: "replace", fields };
  }
  const status = statusOf(door);
  if (status !== "running")
    return {
      ...resource,
      action: "update",
      fields: fieldChanges({ status }, { status: "running" }),
    };
  return { ...resource, action: "no-op", fields: [] };
}

function serviceChanges(
  names: Names,
  sight: Sight,
  request: Request,
  secrets: SecretDigests | null,
): ResourceChange[] {
  const resource = containerResource(names.service);
  const { next, service } = sight;
  if (service === null) return [{ ...resource, action: "create", fields: [] }, ...leftover(next)];
  if (servingOf(sight) === service && service.revision === request.revision) {
    const { restart } = request.settings;
    const fields = fieldChanges({ restart: service.restart }, { restart });
    return [
      { ...resource, action: fields.length === 0 ? "no-op" : "update", fields },
      ...leftover(next),
    ];
  }
  const fields = fieldsOf(service, request, secrets);
  return [{ ...resource, action: "update", fields }, ...leftover(next)];
}

/** The engine's word, unless it runs and cannot be reached. */
function statusOf({ joined, status }: Door | Service): string {
  return status === "running" && !joined ? "outside of its network" : status;
}

/** That the key differs is shown, and nothing that says which it is. */
const KEY_HASH = "service.authKeyHash";

function fieldsOf(
  service: Service,
  request: Request,
  secrets: SecretDigests | null,
): FieldChange[] {
  const { revision, spec } = service;
  return [
    ...fieldChanges({ revision }, { revision: request.revision }),
    ...(revision === request.revision
      ? [{ field: "status", before: statusOf(service), after: "serving" }]
      : []),
    ...fieldChanges(spec, specOf(request), [KEY_HASH]),
    ...secretChanges(secrets, request.secrets),
  ];
}
