import type { FieldChange, JsonValue, Plan, ResourceChange } from "@millrace/core";
import { containerResource, type Names, networkResource } from "./names.ts";
import { digestsOf, type Request, type SecretDigests, specOf } from "./service-container.ts";
import { type Door, type Service, type Sight, servingOf } from "./sight.ts";
import { mustMove } from "./step.ts";

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
  return { action: strongest(changes), changes, interrupts: mustMove(sight, request.settings) };
}

const STRENGTH = ["no-op", "delete", "update", "create", "replace"] as const;

/** Something that exists is updated, also where a part of it has to be made anew. */
function strongest(changes: readonly ResourceChange[]): Plan["action"] {
  if (changes.every(({ action }) => action === "create")) return "create";
  const last = Math.max(...changes.map(({ action }) => STRENGTH.indexOf(action)));
  const action = STRENGTH[last] ?? "no-op";
  return action === "delete" ? "update" : action;
}

function networkChange(names: Names, { network }: Sight): ResourceChange {
  return { ...networkResource(names), action: network === null ? "create" : "no-op", fields: [] };
}

function doorChange(names: Names, sight: Sight, { settings }: Request): ResourceChange {
  const resource = containerResource(names.door);
  const { door } = sight;
  if (door === null) return { ...resource, action: "create", fields: [] };
  if (mustMove(sight, settings)) {
    const { bind, port } = door.endpoint;
    const fields = [
      ...difference("bind", bind, settings.bind),
      ...(settings.port === undefined ? [] : difference("port", port, settings.port)),
    ];
    return { ...resource, action: "replace", fields };
  }
  const status = statusOf(door);
  if (status !== "running")
    return { ...resource, action: "update", fields: difference("status", status, "running") };
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
    const fields = difference("restart", service.restart, request.settings.restart);
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
  const before = flatten(spec);
  const after = flatten(specOf(request));
  return [
    ...difference("revision", revision, request.revision),
    ...(revision === request.revision
      ? [{ field: "status", before: statusOf(service), after: "serving" }]
      : []),
    ...[...new Set([...before.keys(), ...after.keys()])]
      .sort()
      .flatMap((field) => difference(field, before.get(field), after.get(field)))
      .map((change) => (change.field === KEY_HASH ? { field: KEY_HASH } : change)),
    ...secretChanges(request, secrets),
  ];
}

/** Names of secrets that are added, removed or have another value; never a value. */
function secretChanges({ secrets }: Request, known: SecretDigests | null): FieldChange[] {
  const before = known?.digests ?? {};
  const after = known === null ? {} : digestsOf(secrets, known.key).digests;
  const names = new Set([...Object.keys(before), ...Object.keys(secrets)]);
  return [...names]
    .sort()
    .filter((name) => before[name] === undefined || before[name] !== after[name])
    .map((name) => ({ field: `secrets.${name}` }));
}

function difference(
  field: string,
  before: JsonValue | undefined,
  after: JsonValue | undefined,
): FieldChange[] {
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  return [
    {
      field,
      ...(before === undefined ? {} : { before }),
      ...(after === undefined ? {} : { after }),
    },
  ];
}

function flatten(
  value: JsonValue,
  path = "",
  into = new Map<string, JsonValue>(),
): Map<string, JsonValue> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) into.set(path, value);
  else
    for (const [name, member] of Object.entries(value))
      flatten(member, path === "" ? name : `${path}.${name}`, into);
  return into;
}
