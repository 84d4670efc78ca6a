import { readFileSync, realpathSync, statSync } from "node:fs";
import { findPackageJSON } from "node:module";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import {
  CONTRACT_VERSION,
  type Flavor,
  isMillraceError,
  MillraceError,
  messageOf,
  type Plugin,
  parse,
  suggest,
} from "@millrace/core";
import { z } from "zod";
import { BUILT_IN } from "../config/defaults.ts";
import type { LoadedConfig } from "../config/load.ts";

/** Plugins only define things when they are loaded. */
const LOAD_SECONDS = 20;

interface Loaded {
  readonly flavors: ReadonlyMap<string, Flavor>;
  /** Why the first plugin that cannot be loaded cannot be. */
  readonly failure: { readonly cause: unknown } | null;
}

/** Finds flavors in the configured plugins. Plugins are imported when a flavor is first asked for. */
export class Plugins {
  readonly #config: Pick<LoadedConfig, "config" | "directory">;
  readonly #given: readonly Flavor[];
  readonly #signal: AbortSignal | undefined;
  #loaded: Promise<Loaded> | undefined;

  constructor(
    config: Pick<LoadedConfig, "config" | "directory">,
    given: readonly Flavor[],
    signal?: AbortSignal,
  ) {
    this.#config = config;
    this.#given = given;
    this.#signal = signal;
  }

  /** @throws MillraceError when a plugin cannot be loaded. */
  async all(): Promise<readonly Flavor[]> {
    const { flavors, failure } = await this.#load();
    if (failure !== null) throw failure.cause;
    return [...flavors.values()];
  }

  /**
   * A plugin that cannot be loaded is in the way of its own flavors only.
   * @throws MillraceError `FLAVOR_UNKNOWN`, or why a plugin that may have it cannot be loaded.
   */
  async flavor(name: string): Promise<Flavor> {
    const given = this.#given.find((flavor) => flavor.name === name);
    if (given !== undefined) return given;
    const { flavors, failure } = await this.#load();
    const flavor = flavors.get(name);
    if (flavor !== undefined) return flavor;
    if (failure !== null) throw failure.cause;
    const meant = suggest(name, flavors.keys());
    throw new MillraceError({
      class: "not_found",
      code: "FLAVOR_UNKNOWN",
      message: `No plugin provides the flavor "${name}".${meant === undefined ? "" : ` Did you mean "${meant}"?`}`,
      action: unknownFlavorAction(name, [...flavors.keys()], this.#config.directory),
    });
  }

  #load(): Promise<Loaded> {
    this.#loaded ??= this.#import();
    return this.#loaded;
  }

  async #import(): Promise<Loaded> {
    const { config, directory } = this.#config;
    const configured = config.plugins ?? [];
    const named = configured.some((plugin) => plugin === BUILT_IN.plugin)
      ? configured
      : [...installedBuiltIn(directory), ...configured];
    const flavors = new Map(this.#given.map((flavor) => [flavor.name, flavor]));
    const from = new Map<string, string>();
    let failure: Loaded["failure"] = null;
    for (const entry of named) {
      let plugin: Plugin;
      try {
        plugin =
          typeof entry === "string"
            ? await importPlugin(entry, directory, this.#signal)
            : checked(entry, entry.name);
      } catch (cause) {
        failure ??= { cause };
        continue;
      }
      for (const flavor of plugin.flavors) {
        if (this.#given.some(({ name }) => name === flavor.name)) continue;
        const other = from.get(flavor.name);
        if (other !== undefined) throw flavorTwice(flavor.name, other, plugin.name);
        from.set(flavor.name, plugin.name);
        flavors.set(flavor.name, flavor);
      }
    }
    return { flavors, failure };
  }
}

function unknownFlavorAction(name: string, known: readonly string[], directory: string): string {
  if (name === BUILT_IN.flavor) return `Run in ${directory}: npm install ${BUILT_IN.plugin}`;
  const others = known.length === 0 ? "" : `Known flavors are ${known.join(", ")}. `;
  return `${others}Install the package of another one and add it to \`plugins\` in millrace.config.ts.`;
}

/** The built-in flavor's package, where it is installed: control alone can do with other plugins. */
function installedBuiltIn(directory: string): readonly string[] {
  return findPlugin(BUILT_IN.plugin, directory) === undefined ? [] : [BUILT_IN.plugin];
}

async function importPlugin(
  name: string,
  directory: string,
  signal: AbortSignal | undefined,
): Promise<Plugin> {
  let module: { readonly default?: unknown };
  try {
    module = await inTime(import(resolvePlugin(name, directory)), signal);
  } catch (cause) {
    if (isMillraceError(cause) || signal?.aborted === true) throw cause;
    throw new MillraceError({
      class: "usage",
      code: "PLUGIN_FAILED",
      message: `The plugin ${name} could not be loaded: ${messageOf(cause)}`,
      action: "Update or reinstall it; `--debug` shows where it failed.",
      cause,
    });
  }
  return checked(module.default, name);
}

/** A module that waits for ever must not hold up the command without a word, nor who wants to leave. */
async function inTime<T>(loading: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  const { promise: end, reject } = Promise.withResolvers<never>();
  const refuse = () => reject(new Error(`it did not finish loading within ${LOAD_SECONDS} s.`));
  const leave = () => reject(signal?.reason);
  // Where nothing else goes on, the process ends by itself and says so.
  const timer = setTimeout(refuse, LOAD_SECONDS * 1000).unref();
  signal?.addEventListener("abort", leave);
  try {
    return await Promise.race([loading, end]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", leave);
  }
}

function resolvePlugin(name: string, directory: string): string {
  if (/^[a-z][a-z0-9+.-]*:/i.test(name)) {
    throw pluginInvalid(
      `The plugin ${name} is neither the name of a package nor a path.`,
      "Correct it in `plugins` of millrace.config.ts.",
    );
  }
  if (name.startsWith(".") || name.startsWith("/")) {
    const file = resolve(directory, name);
    // Node's own error would name the module of ours that imports it.
    if (statSync(file).isFile()) return pathToFileURL(file).href;
    throw pluginInvalid(
      `The plugin ${name} is no file.`,
      "Name the module in it that has the plugin as its default export.",
    );
  }
  const manifest = findPlugin(name, directory);
  if (manifest !== undefined) return pathToFileURL(join(dirname(manifest), entryOf(manifest))).href;
  throw new MillraceError({
    class: "usage",
    code: "PLUGIN_NOT_FOUND",
    message: `The plugin ${name} is not installed.`,
    action: `Run in ${directory}: npm install ${name}`,
  });
}

/**
 * The package.json of a plugin. It is the user's dependency; the built-in one may also be that of the `millrace` package,
 * which is the user's dependency or the program that runs.
 */
function findPlugin(name: string, directory: string): string | undefined {
  const user = join(directory, "millrace.config.ts");
  const own = packageManifest(name, user);
  if (own !== undefined || name !== BUILT_IN.plugin) return own;
  const [, program] = process.argv;
  const installations = [packageManifest("millrace", user), program, import.meta.filename];
  return installations
    .filter((file) => file !== undefined)
    .map((file) => packageManifest(name, realPath(file)))
    .find((manifest) => manifest !== undefined);
}

/** The package.json of an installed package; undefined when it is not installed. */
function packageManifest(name: string, place: string): string | undefined {
  try {
    return findPackageJSON(name, pathToFileURL(place));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND")
      return undefined;
    throw error;
  }
}

function realPath(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    // A program that was started without a file has no installation to look in.
    return file;
  }
}

/** The module that `import` of a package loads. */
function entryOf(manifest: string): string {
  const { exports, main } = JSON.parse(readFileSync(manifest, "utf8")) as {
    readonly exports?: unknown;
    readonly main?: string;
  };
  return importTarget(exports) ?? main ?? "index.js";
}

const CONDITIONS: ReadonlySet<string> = new Set([".", "node", "import", "module-sync", "default"]);

/** The target of a package's `exports` for an import in Node: the first of the conditions that applies. */
function importTarget(exports: unknown): string | undefined {
  if (typeof exports === "string") return exports;
  if (typeof exports !== "object" || exports === null) return undefined;
  for (const [condition, target] of Object.entries(exports)) {
    const found = CONDITIONS.has(condition) ? importTarget(target) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

/** What the client relies on before it makes a deployer. Everything else is the contract's, which the conformance suite checks. */
const flavorSchema = z.looseObject({
  name: z.string().min(1),
  description: z.string(),
  capabilities: z.looseObject({ artefact: z.enum(["bundle", "image"]), logs: z.looseObject({}) }),
  settings: z.custom(isSchema, "must be a zod schema"),
  create: z.custom((value) => typeof value === "function", "must be a function"),
});
const pluginSchema = z.looseObject({ name: z.string().min(1), flavors: z.array(flavorSchema) });

function isSchema(value: unknown): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    "safeParse" in value &&
    typeof value.safeParse === "function"
  );
}

/**
 * Checks what a plugin gives, which may be anything: it is the code of others.
 * @throws MillraceError `PLUGIN_INVALID`, `PLUGIN_CONTRACT`
 */
function checked(value: unknown, name: string): Plugin {
  try {
    if (isPlugin(value, name)) return value;
  } catch (cause) {
    if (isMillraceError(cause)) throw cause;
    throw pluginInvalid(
      `The plugin ${name} cannot be used: ${messageOf(cause)}`,
      "Update or reinstall it; `--debug` shows where it failed.",
      cause,
    );
  }
  throw pluginInvalid(
    `The package ${name} is no Millrace plugin: its default export is not made by definePlugin.`,
    "Check the name in `plugins` of millrace.config.ts.",
  );
}

function isPlugin(value: unknown, name: string): value is Plugin {
  if (typeof value !== "object" || value === null || !("contract" in value && "flavors" in value))
    return false;
  // First, since a plugin for another version may have another form.
  checkContract(value.contract, name);
  parse(pluginSchema, value, {
    what: `The plugin ${name}`,
    code: "PLUGIN_INVALID",
    action: "Update it, or correct what it gives to definePlugin and defineFlavor.",
  });
  return true;
}

function checkContract(contract: unknown, name: string): void {
  if (contract === CONTRACT_VERSION) return;
  const isNewer = typeof contract === "number" && contract > CONTRACT_VERSION;
  throw new MillraceError({
    class: "usage",
    code: "PLUGIN_CONTRACT",
    message: `The plugin ${name} was made for version ${inspect(contract)} of the deployer contract; this is version ${CONTRACT_VERSION}.`,
    action: isNewer
      ? "Update millrace: npm install millrace@latest"
      : `Update it: npm install ${name}@latest`,
  });
}

function pluginInvalid(message: string, action: string, cause?: unknown): MillraceError {
  return new MillraceError({ class: "usage", code: "PLUGIN_INVALID", message, action, cause });
}

function flavorTwice(flavor: string, one: string, other: string): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "FLAVOR_TWICE",
    message: `Both ${one} and ${other} provide the flavor "${flavor}".`,
    action: "Remove one of them from `plugins` in millrace.config.ts.",
  });
}
