import {
  type FieldChange,
  fieldChanges,
  type Plan,
  type ResourceChange,
  type SecretDigests,
  secretChanges,
} from "@millrace/core";
import { DOOR_PROTOCOL } from "./door-contract.ts";
import { containerResource, type Names, networkResource } from "./names.ts";
import { type Request, specOf } from "./service-container.ts";
import { type Door, type Service, type Sight, servingOf } from "./sight.ts";
import { mustReplaceDoor } from "./step.ts";

/** What provision would do with what exists. */
export function planOf(
  names: Names,
  sight: Sight,
  request: Request,
  secrets: SecretDigests | null,
): Plan {
  const changes = [
    networkChange(names, sight),
    doorChange(names, sight, request),
    ...serviceChanges(names, sight, request, secrets),
  ];
  return {
    action: strongest(changes),
    changes,
    interrupts: mustReplaceDoor(sight, request.settings),
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

function doorChange(names: Names, sight: Sight, { settings }: Request): ResourceChange {
  const resource = containerResource(names.door);
  const { door } = sight;
  if (door === null) return { ...resource, action: "create", fields: [] };
  if (mustReplaceDoor(sight, settings)) {
    const { endpoint, protocol } = door;
    const { bind, port = endpoint.port } = settings;
    const wanted = { bind, port, protocol: DOOR_PROTOCOL };
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
  const leftover: ResourceChange[] =
    next === null ? [] : [{ ...containerResource(next.name), action: "delete", fields: [] }];
  if (service === null) return [{ ...resource, action: "create", fields: [] }, ...leftover];
  if (servingOf(sight) === service && service.revision === request.revision) {
    const { restart } = request.settings;
    const fields = fieldChanges({ restart: service.restart }, { restart });
    return [{ ...resource, action: fields.length === 0 ? "no-op" : "update", fields }, ...leftover];
  }
  const fields = fieldsOf(service, request, secrets);
  return [{ ...resource, action: "update", fields }, ...leftover];
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
