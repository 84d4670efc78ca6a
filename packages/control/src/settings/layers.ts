import {
  type Flavor,
  formatIssue,
  isJsonObject,
  isMillraceError,
  isSecretSetting,
  type JsonObject,
  type JsonValue,
  MillraceError,
  parse,
  REDACTED,
  type ServingSettings,
  type ServingSettingsInput,
  sentence,
  servingSettingsSchema,
} from "@millrace/core";
import type { z } from "zod";
import type { EffectiveSetting, SettingOrigin } from "../client.ts";

/** Settings as one place gave them. */
export interface Layer<T> {
  readonly origin: Exclude<SettingOrigin, "default">;
  /** Names the place in errors: `deployer "prod"`. */
  readonly place: string;
  readonly values: T;
}

export interface Settings<T> {
  readonly value: T;
  /** Every single setting and where it came from; secrets are masked. */
  readonly effective: readonly EffectiveSetting[];
}

/**
 * Merges layers in order of growing precedence and completes them with the defaults of the flavor's schema.
 * @throws MillraceError `SETTINGS_INVALID` naming the layer that is wrong.
 */
export function deployerSettings(
  flavor: Flavor,
  layers: readonly Layer<JsonObject>[],
): Settings<unknown> {
  const value = parseMerged(flavor.settings, layers, `settings for flavor "${flavor.name}"`);
  return { value, effective: effectiveSettings("deployer", value, layers) };
}

/** The same for how the deployment serves. */
export function servingSettings(
  layers: readonly Layer<ServingSettingsInput>[],
): Settings<ServingSettings> {
  const plain = layers.map((layer) => ({ ...layer, values: layer.values as JsonObject }));
  const value = parseMerged(servingSettingsSchema, plain, "serving settings");
  return { value, effective: effectiveSettings("serving", value, plain) };
}

/**
 * Checks what the layers give together, since a rule may be about values of several layers, and tells of each fault which
 * layer it came from.
 */
function parseMerged<T>(
  schema: z.ZodType<T>,
  layers: readonly Layer<JsonObject>[],
  what: string,
): T {
  try {
    return parse(schema, mergeAll(layers), { what: `The ${what}`, code: "SETTINGS_INVALID" });
  } catch (error) {
    if (!isMillraceError(error) || error.code !== "SETTINGS_INVALID") throw error;
    const issues = error.issues.map((issue) => {
      const place = layers.findLast(({ values }) => has(values, issue.path))?.place;
      return {
        ...issue,
        message: place === undefined ? issue.message : `${issue.message} (from ${place})`,
      };
    });
    throw new MillraceError({
      ...error,
      message: sentence(
        `The ${what} ${issues.length === 1 ? "are not valid" : "have faults"}: ${issues.map(formatIssue).join("; ")}`,
      ),
      issues,
      cause: error,
    });
  }
}

function mergeAll(layers: readonly Layer<JsonObject>[]): JsonObject {
  return layers.reduce<JsonObject>((merged, { values }) => merge(merged, values), {});
}

/** Objects are merged key by key; anything else of the later one replaces the earlier. */
export function merge(earlier: JsonObject, later: JsonObject): JsonObject {
  // A map, because assigning a key named __proto__ to an object would not make it one.
  const merged = new Map<string, JsonValue>(Object.entries(earlier));
  for (const [key, value] of Object.entries(later)) {
    if (value === undefined) continue;
    const before = merged.get(key);
    merged.set(key, isJsonObject(before) && isJsonObject(value) ? merge(before, value) : value);
  }
  return Object.fromEntries(merged);
}

function effectiveSettings(
  prefix: string,
  value: unknown,
  layers: readonly Layer<JsonObject>[],
): EffectiveSetting[] {
  return leaves(value).map(({ path, value: leaf }) => {
    const origin = layers.findLast(({ values }) => has(values, path))?.origin ?? "default";
    const last = path.at(-1) ?? "";
    const masked = typeof leaf === "string" && isSecretSetting(last);
    return { name: [prefix, ...path].join("."), value: masked ? REDACTED : leaf, origin };
  });
}

function leaves(
  value: unknown,
  path: readonly string[] = [],
): { readonly path: readonly string[]; readonly value: JsonValue }[] {
  if (!isJsonObject(value)) return value === undefined ? [] : [{ path, value: value as JsonValue }];
  return Object.entries(value).flatMap(([key, member]) => leaves(member, [...path, key]));
}

function has(values: JsonObject, path: readonly (string | number)[]): boolean {
  let current: unknown = values;
  for (const key of path) {
    // What is inside a list came with the list.
    if (Array.isArray(current)) return true;
    if (!isJsonObject(current) || !Object.hasOwn(current, key)) return false;
    current = current[key];
  }
  return true;
}
