import { randomUUID } from "node:crypto";
import {
  type DeploymentTarget,
  SERVICE_CONFIG_VARIABLE,
  servingSettingsSchema,
} from "@millrace/core";
import type { Request } from "./service-container.ts";
import { settingsSchema } from "./settings.ts";

export function newTarget(): DeploymentTarget {
  return { id: randomUUID(), name: "test", project: "default", inventory: [], metadata: {} };
}

/** Of a service whose runs wait in a volume while its store is away. */
export const STORED = {
  [SERVICE_CONFIG_VARIABLE]: JSON.stringify({
    serving: {},
    authKeyHash: null,
    store: { kind: "postgres", urlSecret: "URL", spoolDirectory: "/tmp/millrace/spool" },
  }),
};

/** What control would ask for, with the settings as a stack config has them. */
export function requestOf(
  parts: Partial<Omit<Request, "settings">> & { readonly settings?: object } = {},
): Request {
  const { settings = {}, ...others } = parts;
  return {
    deployment: newTarget(),
    revision: "a".repeat(64),
    snapshot: { id: "snapshot-1", name: null, pipeline: "test" },
    artefact: { kind: "image", reference: "millrace:test", credentials: null },
    serving: servingSettingsSchema.parse({}),
    environment: {
      [SERVICE_CONFIG_VARIABLE]: JSON.stringify({ serving: {}, authKeyHash: null }),
    },
    secrets: {},
    ...others,
    settings: settingsSchema.parse(settings),
  };
}
