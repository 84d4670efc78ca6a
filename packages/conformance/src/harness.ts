import { isAbsolute } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type Flavor, type JsonObject, MillraceError, type Plugin } from "@millrace/core";

/** A resource of ours as the platform shows it to its owner, not as the deployer tells. */
export interface PlatformResource {
  /** Kind and name as the deployer gives them to the journal. */
  readonly kind: string;
  readonly name: string;
  /** Tags or labels; null where the platform has none for this kind. */
  readonly tags: Readonly<Record<string, string>> | null;
  /** Another text whenever the deployer changed the resource. Leave it out when the platform cannot tell. */
  readonly fingerprint?: string;
}

/**
 * Ways to break a platform. Each is optional: a check that needs one which is missing counts as not testable. `restore`
 * ends all of them.
 */
export interface Faults {
  /** Stops the running service of the deployment and leaves its resources. Resolves when it serves no more. */
  stop?(deploymentId: string): Promise<void>;
  /** Kills the process of the running service, as a crash would. */
  kill?(deploymentId: string): Promise<void>;
  /** Suspends the running service: it is there, answers nothing, and the platform tells so. */
  pause?(deploymentId: string): Promise<void>;
  /** Deletes one resource behind the deployer's back. Resolves when it is gone from `list`, if nothing brings it back. */
  remove?(resource: PlatformResource): Promise<void>;
  /** Nothing can reach the platform's interface any more; services go on. */
  cutOff?(): Promise<void>;
  /** The platform goes down, with its interface and all that runs on it, until `restore`. */
  shutDown?(): Promise<void>;
  /** The platform accepts calls and does not answer. */
  hang?(): Promise<void>;
  /** The platform answers that there are too many calls. */
  throttle?(): Promise<void>;
  /** The platform no longer accepts the credentials. */
  expireCredentials?(): Promise<void>;
  /** The platform refuses every change for good, for example for lack of quota. */
  refuse?(): Promise<void>;
  /** Uses up the room that the platform has: what needs some fails, what runs goes on. */
  fillUp?(): Promise<void>;
  /**
   * The platform carries out the next change, and its reply is lost. No check notices when this does nothing, because a
   * deployer may try again by itself.
   */
  loseNextReply?(): Promise<void>;
  /**
   * Reads show changes later than they are made, by longer than the deployer takes from one call to the next: some seconds
   * on a real platform. No check notices when this does nothing.
   */
  lag?(): Promise<void>;
  /** Removes an image behind everybody's back: where it was delivered, and from the platform itself. */
  removeImage?(reference: string): Promise<void>;
  /** The registry that the platform pulls from fails in one of its ways. */
  failRegistry?(how: RegistryFault): Promise<void>;
}

/**
 * What a registry does wrong until `restore`: it accepts no login, asks to wait, breaks, or (once) hangs up in the middle of a
 * layer.
 */
export type RegistryFault = "unauthorized" | "throttled" | "broken" | "cut";

export const FAULTS = [
  "stop",
  "kill",
  "pause",
  "remove",
  "cutOff",
  "shutDown",
  "hang",
  "throttle",
  "expireCredentials",
  "refuse",
  "fillUp",
  "loseNextReply",
  "lag",
  "removeImage",
  "failRegistry",
] as const satisfies readonly (keyof Faults)[];
export type FaultName = (typeof FAULTS)[number];

/** One platform, or one part of it, that a check has for itself. */
export interface Platform {
  /** Settings of the flavor that reach this platform. */
  readonly settings: JsonObject;
  /** All resources of ours that exist here now, whoever made them. */
  list(): Promise<readonly PlatformResource[]>;
  /** Number of calls that asked for a change so far. Leave it out when the platform cannot tell. */
  changes?(): Promise<number>;
  /** Number of images, or layers of images, that were brought here or to its registry. Leave it out when nobody can tell. */
  deliveries?(): Promise<number>;
  /** Everything that the platform would show to somebody who may read but not see secrets. */
  visible?(): Promise<string>;
  readonly faults: Faults;
  /** Ends all faults. */
  restore(): Promise<void>;
  /** Removes everything that is still there. */
  close(): Promise<void>;
}

/** What a platform is made for. */
export interface Place {
  /** The state folder that the deployer will be given. */
  readonly home: string;
  /** Faults that the check cannot be made without, for platforms that cost more when they can be broken so. */
  readonly needs: readonly FaultName[];
}

/** What the author of a deployer supplies. */
export interface Harness {
  readonly name: string;
  /** The plugin's module: a path, or a `file:` URL as `import.meta.resolve` gives it. Operator processes import it too. */
  readonly plugin: string;
  /** Which of the plugin's flavors. */
  readonly flavor: string;
  /** `real`: the deployed service is Millrace's own server. `fake`: the platform only plays one. */
  readonly serves: "real" | "fake";
  /** Settings that, put over the platform's, have to be rolled out in place. */
  readonly otherSettings: JsonObject;
  /** Settings that break a limit of the platform, each with a word that the refusal has to name. */
  readonly refusedSettings?: readonly { readonly settings: JsonObject; readonly names: string }[];
  /** Checks that may run at the same time. Default 1. */
  readonly parallel?: number;
  /** Times everything that the suite waits for. Default 1, for a platform that deploys within seconds. */
  readonly patience?: number;
  /** Seconds that `setup` and `close` may take. Default 60. */
  readonly setupTimeoutSeconds?: number;
  /** Makes a platform for one check. */
  setup(place: Place): Promise<Platform>;
  /** Ends what the platforms of several checks shared. Called once, when all are done. */
  close?(): Promise<void>;
}

/** Types a harness file. */
export function defineHarness(harness: Harness): Harness {
  return harness;
}

/** The plugin that a harness names and its flavor. @throws MillraceError `HARNESS_INVALID` */
export async function loadFlavor(
  harness: Pick<Harness, "plugin" | "flavor">,
): Promise<{ readonly plugin: Plugin; readonly flavor: Flavor }> {
  let module: { readonly default?: unknown };
  try {
    module = await import(moduleUrl(harness.plugin));
  } catch (cause) {
    throw harnessInvalid(`its plugin ${harness.plugin} cannot be loaded: ${String(cause)}`, cause);
  }
  const plugin = module.default;
  if (!isPlugin(plugin))
    throw harnessInvalid(`${harness.plugin} has no plugin as its default export`);
  const flavor = plugin.flavors.find(({ name }) => name === harness.flavor);
  if (flavor !== undefined) return { plugin, flavor };
  const names = plugin.flavors.map(({ name }) => name).join(", ");
  throw harnessInvalid(`the plugin has no flavor "${harness.flavor}"; it has ${names}`);
}

function moduleUrl(plugin: string): string {
  if (plugin.startsWith("file:")) return plugin;
  return isAbsolute(plugin) ? pathToFileURL(plugin).href : plugin;
}

function isPlugin(value: unknown): value is Plugin {
  return (
    typeof value === "object" &&
    value !== null &&
    "flavors" in value &&
    Array.isArray(value.flavors)
  );
}

/** Checks the form of what a harness file exports. @throws MillraceError `HARNESS_INVALID` */
export function asHarness(value: unknown, file: string): Harness {
  if (value === undefined) {
    throw harnessInvalid(
      `${file} has no default export; write \`export default defineHarness({ … })\``,
    );
  }
  if (!isHarness(value)) {
    throw harnessInvalid(
      `the default export of ${file} must have ${REQUIRED.map(([key, type]) => `${key} (${type})`).join(", ")}`,
    );
  }
  return value;
}

const REQUIRED = [
  ["name", "string"],
  ["plugin", "string"],
  ["flavor", "string"],
  ["serves", "string"],
  ["otherSettings", "object"],
  ["setup", "function"],
] as const;

function isHarness(value: unknown): value is Harness {
  if (typeof value !== "object" || value === null) return false;
  const members = new Map<string, unknown>(Object.entries(value));
  return REQUIRED.every(([key, type]) => typeof members.get(key) === type);
}

function harnessInvalid(what: string, cause?: unknown): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "HARNESS_INVALID",
    message: `The harness cannot be used: ${what}.`,
    action: "Correct the harness file and try again; docs/writing-a-deployer.md has an example.",
    cause,
  });
}

/** The harness of a file. @throws MillraceError `HARNESS_INVALID` */
export async function loadHarness(path: string): Promise<Harness> {
  const url = pathToFileURL(path);
  let module: { readonly default?: unknown };
  try {
    module = await import(url.href);
  } catch (cause) {
    throw harnessInvalid(
      `${fileURLToPath(url)} cannot be loaded: ${cause instanceof Error ? cause.message : String(cause)}`,
      cause,
    );
  }
  return asHarness(module.default, path);
}
