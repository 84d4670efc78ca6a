import {
  type Flavor,
  type JsonObject,
  type JsonValue,
  parse,
  type ServingSettings,
  type ServingSettingsInput,
  servingSettingsInputSchema,
  servingSettingsSchema,
} from "@millrace/core";
import type { EffectiveSetting, SettingOrigin } from "../client.ts";

/** Settings as one place gave them. */
export interface Layer<T> {
  readonly origin: Exclude<SettingOrigin, "default">;
  /** Names the place in errors: `deployer "prod"`. */
  readonly place: string;
  readonly values: T;
}

const SECRET_SETTINGS: ReadonlySet<string> = new Set(["authKey"]);

/**
 * Merges layers in order of growing precedence and completes them with the defaults of the flavor's schema.
 * @throws MillraceError `SETTINGS_INVALID` naming the layer that is wrong.
 */
export function deployerSettings(
  flavor: Flavor,
  layers: readonly Layer<JsonObject>[],
): { readonly value: unknown; readonly effective: readonly EffectiveSetting[] } {
  for (const { place, values } of layers) {
    parse(flavor.settings, values, {
      what: `The settings of ${place} for flavor "${flavor.name}"`,
      code: "SETTINGS_INVALID",
    });
  }
  const value = parse(flavor.settings, mergeAll(layers), {
    what: `The settings for flavor "${flavor.name}"`,
    code: "SETTINGS_INVALID",
  });
  return { value, effective: effectiveSettings("deployer", value, layers) };
}

/** The same for how the deployment serves. */
export function servingSettings(layers: readonly Layer<ServingSettingsInput>[]): {
  readonly value: ServingSettings;
  readonly effective: readonly EffectiveSetting[];
} {
  for (const { place, values } of layers) {
    parse(servingSettingsInputSchema, values, {
      what: `The serving settings of ${place}`,
      code: "SETTINGS_INVALID",
    });
  }
  const plain = layers.map((layer) => ({ ...layer, values: layer.values as JsonObject }));
  const value = parse(servingSettingsSchema, mergeAll(plain), {
    what: "The serving settings",
    code: "SETTINGS_INVALID",
  });
  return { value, effective: effectiveSettings("serving", value, plain) };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function mergeAll(layers: readonly Layer<JsonObject>[]): JsonObject {
  return layers.reduce<JsonObject>((merged, { values }) => merge(merged, values), {});
}

/** Objects are merged key by key; anything else of the later one replaces the earlier. */
export function merge(earlier: JsonObject, later: JsonObject): JsonObject {
  const merged: Record<string, JsonValue> = { ...earlier };
  for (const [key, value] of Object.entries(later)) {
    if (value === undefined) continue;
    const before = Object.hasOwn(merged, key) ? merged[key] : undefined;
    merged[key] = isObject(before) && isObject(value) ? merge(before, value) : value;
  }
  return merged;
}

function effectiveSettings(
  prefix: string,
  value: unknown,
  layers: readonly Layer<JsonObject>[],
): EffectiveSetting[] {
  return leaves(value).map(({ path, value: leaf }) => {
    const origin = layers.findLast(({ values }) => has(values, path))?.origin ?? "default";
    const last = path.at(-1) ?? "";
    return {
      name: [prefix, ...path].join("."),
      value: SECRET_SETTINGS.has(last) ? "[secret]" : leaf,
      origin,
    };
  });
}

function leaves(
  value: unknown,
  path: readonly string[] = [],
): { readonly path: readonly string[]; readonly value: JsonValue }[] {
  if (!isObject(value)) return value === undefined ? [] : [{ path, value: value as JsonValue }];
  return Object.entries(value).flatMap(([key, member]) => leaves(member, [...path, key]));
}

function has(values: JsonObject, path: readonly string[]): boolean {
  let current: unknown = values;
  for (const key of path) {
    if (!isObject(current) || !Object.hasOwn(current, key)) return false;
    current = current[key];
  }
  return true;
}
