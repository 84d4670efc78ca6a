import {
  type DeploymentRequest,
  type FieldChange,
  fieldChanges,
  type JsonObject,
  type Plan,
  type ResourceChange,
  SERVICE_CONFIG_VARIABLE,
  secretChanges,
} from "@millrace/core";
import type { Spec, Status } from "./control-protocol.ts";
import { folderResource, processResource } from "./observation.ts";
import type { Places } from "./places.ts";
import type { LocalSettings } from "./settings.ts";
import { specOf } from "./spec.ts";

/** What provision would do where no supervisor answers. */
export function planStart(places: Places, folderExists: boolean): Plan {
  return {
    action: "create",
    changes: [
      {
        ...folderResource(places),
        action: folderExists ? "no-op" : "create",
        fields: [],
      },
      { ...processResource(places), action: "create", fields: [] },
    ],
    interrupts: false,
  };
}

/** What provision would do with the supervisor that is there. */
export function planUpdate(
  places: Places,
  status: Status,
  request: DeploymentRequest<LocalSettings>,
): Plan {
  const wanted = specOf(request);
  const change = processChange(places, status, wanted, request);
  return {
    action:
      change.action === "replace" ? "replace" : change.action === "update" ? "update" : "no-op",
    changes: [{ ...folderResource(places), action: "no-op", fields: [] }, change],
    interrupts: change.action === "replace",
  };
}

/** That the key differs is shown, and nothing that says which it is. */
const KEY_HASH = "service.authKeyHash";

function processChange(
  places: Places,
  status: Status,
  wanted: Spec,
  request: DeploymentRequest<LocalSettings>,
): ResourceChange {
  const resource = processResource(places);
  if (isSettled(status, wanted.revision)) return { ...resource, action: "no-op", fields: [] };
  const existing = status.next ?? status.current;
  const action = mustMove(status, wanted.settings) ? "replace" : "update";
  return {
    ...resource,
    action,
    fields: [
      ...(existing === null ? [] : fieldChanges(describe(existing), describe(wanted), [KEY_HASH])),
      ...(action === "replace" ? endpointChanges(status, wanted.settings) : []),
      ...secretChanges(status.secrets, request.secrets),
      ...(existing?.revision === wanted.revision
        ? [{ field: "workers", before: "failed", after: "running" }]
        : []),
    ],
  };
}

/** Whether the revision serves already or is on its way. */
export function isSettled(status: Status, revision: string): boolean {
  if (status.stopping) return false;
  if (status.next !== null) return status.next.revision === revision;
  return status.current?.revision === revision && status.ready > 0;
}

/** Whether the supervisor listens elsewhere than the settings ask for: only another one can listen there. */
export function mustMove(status: Status, settings: LocalSettings): boolean {
  if (settings.host !== status.host) return true;
  if (settings.port === undefined || settings.port === status.port) return false;
  return !(settings.portFallback && settings.port === status.wantedPort);
}

function endpointChanges({ host, port }: Status, settings: LocalSettings): FieldChange[] {
  return fieldChanges({ host, port }, { host: settings.host, port: settings.port ?? port });
}

/** What a person would call the parts of a specification. Host and port are told apart by `endpointChanges`. */
function describe(spec: Spec): JsonObject {
  const { [SERVICE_CONFIG_VARIABLE]: config, ...environment } = spec.environment;
  const { host: _host, port: _port, ...settings } = spec.settings;
  return {
    revision: spec.revision,
    snapshot: spec.snapshot.id,
    runtime: spec.runtime,
    settings: withoutUndefined(settings),
    environment,
    service: serviceConfig(config),
  };
}

/** The service's own configuration, without what stands elsewhere in the specification. */
function serviceConfig(text: string | undefined): JsonObject {
  if (text === undefined) return {};
  const config: unknown = JSON.parse(text);
  if (typeof config !== "object" || config === null) return {};
  return withoutUndefined(
    Object.fromEntries(
      Object.entries(config).filter(([name]) => name !== "revision" && name !== "snapshot"),
    ),
  );
}

function withoutUndefined(value: object): JsonObject {
  return JSON.parse(JSON.stringify(value));
}
