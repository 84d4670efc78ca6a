import { lstatSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import {
  type Config,
  configSchema,
  isMillraceError,
  MillraceError,
  messageOf,
  parse,
  Secret,
  STORE_URL_SECRET,
  validName,
} from "@millrace/core";
import {
  checkedPostgresUrl,
  filesOfPostgres,
  isPostgresUrl,
  placeOfPostgres,
} from "@millrace/store";
import type { ConfigEntry, ConnectOptions } from "../client.ts";
import { BUILT_IN, CONFIG_FILES, STATE_FOLDER } from "./defaults.ts";

/** Where the records are: a file of this machine, or a database whose URL may hold a password. */
export type StorePlace =
  | { readonly kind: "sqlite"; readonly file: string }
  | { readonly kind: "postgres"; readonly url: Secret };

/** The configuration with every place worked out. Paths are absolute. */
export interface LoadedConfig {
  readonly config: Config;
  /** Null when there is no file. */
  readonly file: string | null;
  /** Folder that relative paths of the configuration and plugin names are resolved from. */
  readonly directory: string;
  /** State folder. */
  readonly home: string;
  readonly project: string;
  /** Acting user. */
  readonly user: string;
  readonly store: StorePlace;
  readonly artifacts: string;
  readonly secretFile: string;
  readonly envFile: string;
  readonly entries: readonly ConfigEntry[];
}

/**
 * Finds and reads the configuration: the given file, else the nearest one upwards from the directory, else none.
 * @throws MillraceError `CONFIG_NOT_FOUND`, `CONFIG_AMBIGUOUS`, `CONFIG_FAILED`, `CONFIG_INVALID`, `NAME_INVALID`, `NODE_TOO_OLD`, `STORE_URL`
 */
export async function loadConfig(
  options: ConnectOptions,
  environment: NodeJS.ProcessEnv,
): Promise<LoadedConfig> {
  const start = resolve(options.directory ?? process.cwd());
  const file =
    options.configFile === undefined
      ? findUpwards(start)
      : mustExist(resolve(start, options.configFile));
  if (file !== null) mustBeFile(file);
  const directory = file === null ? start : dirname(file);
  const config = file === null ? {} : await readConfig(file);
  return place(config, file, directory, options, environment);
}

function place(
  config: Config,
  file: string | null,
  directory: string,
  options: ConnectOptions,
  environment: NodeJS.ProcessEnv,
): LoadedConfig {
  const entries: ConfigEntry[] = [];
  const choose = (
    name: string,
    ...candidates: readonly (readonly [value: string | undefined, origin: string])[]
  ): string => {
    const [value = "", origin = "default"] =
      candidates.find(([candidate]) => candidate !== undefined && candidate !== "") ?? [];
    entries.push({ name, value: isPostgresUrl(value) ? placeOfPostgres(value) : value, origin });
    return value;
  };
  const fromFile = (value: string | undefined): readonly [string | undefined, string] => [
    value === undefined ? undefined : resolve(directory, value),
    file ?? "file",
  ];
  const given = (value: string | undefined): string | undefined =>
    value === undefined || value === "" ? undefined : resolve(value);
  const home = choose(
    "home",
    [given(options.home), "command line"],
    [given(environment["MILLRACE_HOME"]), "MILLRACE_HOME"],
    [join(directory, STATE_FOLDER), "default"],
  );
  const user = choose(
    "user",
    [options.user, "command line"],
    [environment["MILLRACE_USER"], "MILLRACE_USER"],
    [systemUser(), "operating system"],
  );
  const project = choose(
    "project",
    [config.project, file ?? "file"],
    [BUILT_IN.project, "default"],
  );
  const store = storeOf(
    choose(
      "store.url",
      storeUrl(environment[STORE_URL_SECRET], process.cwd(), STORE_URL_SECRET, environment),
      storeUrl(config.store?.url, directory, file ?? "file", environment),
      [join(home, "millrace.db"), "default"],
    ),
  );
  const artifacts = choose("store.artifacts", fromFile(config.store?.artifacts), [
    join(home, "artifacts"),
    "default",
  ]);
  const secretFile = choose("secrets.file", fromFile(config.secrets?.file), [
    join(home, "secrets.json"),
    "default",
  ]);
  const envFile = choose("secrets.env", fromFile(config.secrets?.env), [
    join(directory, ".env"),
    "default",
  ]);
  entries.push({ name: "config", value: file, origin: file === null ? "default" : "found" });
  entries.push({
    name: "plugins",
    value: (config.plugins ?? []).map((plugin) =>
      typeof plugin === "string" ? plugin : plugin.name,
    ),
    origin: config.plugins === undefined ? "default" : (file ?? "file"),
  });
  return {
    config,
    file,
    directory,
    home,
    project,
    user,
    store,
    artifacts,
    secretFile,
    envFile,
    entries,
  };
}

/** A container's user may have no name. */
function systemUser(): string {
  try {
    return userInfo().username;
  } catch {
    return `user-${process.getuid?.() ?? "unknown"}`;
  }
}

function storeOf(url: string): StorePlace {
  return isPostgresUrl(url)
    ? { kind: "postgres", url: new Secret(url) }
    : { kind: "sqlite", file: url };
}

/** The URL of a database with all that it takes from elsewhere; every other one as the absolute path of a file. */
function storeUrl(
  given: string | undefined,
  directory: string,
  origin: string,
  environment: NodeJS.ProcessEnv,
): readonly [url: string | undefined, origin: string] {
  // What an editor or a file of variables leaves at the ends is no part of it.
  const url = given?.trim();
  if (url === undefined || url === "") return [undefined, origin];
  return isPostgresUrl(url)
    ? wholePostgresUrl(checkedPostgresUrl(url), directory, origin, environment)
    : [fileOf(url, directory), origin];
}

/** Parts of a URL, as they may also be options of it, and the variables that pg takes them from otherwise. */
const FROM_VARIABLES = [
  ["username", "user", "PGUSER"],
  ["password", "password", "PGPASSWORD"],
  ["hostname", "host", "PGHOST"],
  ["port", "port", "PGPORT"],
] as const;

/** A service, which is handed the URL, has neither our working folder nor our environment. */
function wholePostgresUrl(
  text: string,
  directory: string,
  origin: string,
  environment: NodeJS.ProcessEnv,
): readonly [url: string, origin: string] {
  const url = new URL(text);
  const used: string[] = [];
  for (const [part, option, variable] of FROM_VARIABLES) {
    const value = environment[variable] ?? "";
    if (value === "" || url[part] !== "" || url.searchParams.has(option)) continue;
    url.searchParams.set(option, value);
    used.push(variable);
  }
  for (const [option, path] of filesOfPostgres(text))
    url.searchParams.set(option, resolve(directory, path));
  return [url.href, [origin, ...used].join(", ")];
}

/** The absolute path of an SQLite file. */
function fileOf(url: string, directory: string): string {
  try {
    if (url.startsWith("file://")) return fileURLToPath(url);
  } catch (cause) {
    throw noStoreUrl(withoutInput(cause));
  }
  const path = url.replace(/^file:/, "");
  if (NO_PATH.test(path)) throw noStoreUrl();
  return resolve(directory, path);
}

/** In quotes, with a scheme, or with what looks like a password before a host: a URL, and no path, was meant. */
const NO_PATH = /^["'`]|^[a-z][a-z0-9+.-]+:|:\/\/|:.*@/i;

function noStoreUrl(cause?: unknown): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "STORE_URL",
    // It may hold a password, and where it is wrong nobody can tell which part that is.
    message: "The store's URL is of a kind that is not supported.",
    action:
      "Give a file: URL or a path of an SQLite file, or postgres://user:password@host/database, without quotes around it.",
    cause,
  });
}

/** Node's error about a URL carries the whole of it. */
function withoutInput(cause: unknown): Error {
  return new Error(messageOf(cause));
}

function findUpwards(start: string): string | null {
  for (let directory = start; ; directory = dirname(directory)) {
    const [file, other] = CONFIG_FILES.map((name) => join(directory, name)).filter(isThere);
    if (file !== undefined && other !== undefined) throw ambiguous(file, other);
    if (file !== undefined) return file;
    if (dirname(directory) === directory) return null;
  }
}

function ambiguous(file: string, other: string): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "CONFIG_AMBIGUOUS",
    message: `There are two configuration files: ${file} and ${other}.`,
    action: "Keep one of them, or name the one that is meant by --config.",
  });
}

/** Also a link that leads nowhere: who made it does not want to go without a configuration. */
function isThere(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

function mustBeFile(file: string): void {
  let isFolder: boolean;
  try {
    isFolder = statSync(file).isDirectory();
  } catch (cause) {
    throw noFile(file, messageOf(cause), cause);
  }
  if (isFolder) throw noFile(file, "it is a folder.");
}

function noFile(file: string, reason: string, cause?: unknown): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "CONFIG_FAILED",
    message: `${file} could not be loaded: ${reason}`,
    action: "Put a configuration file there, or name another one by --config.",
    cause,
  });
}

function mustExist(file: string): string {
  if (isThere(file)) return file;
  throw new MillraceError({
    class: "usage",
    code: "CONFIG_NOT_FOUND",
    message: `There is no configuration file ${file}.`,
    action:
      "Correct --config, or leave it out to find millrace.config.ts upwards from the working directory.",
  });
}

async function readConfig(file: string): Promise<Config> {
  const value = file.endsWith(".json") ? await readJson(file) : await readModule(file);
  // What the schema checked is kept as it was written: plugin objects carry functions, and defaults come later.
  try {
    parse(configSchema, value, { what: file, code: "CONFIG_INVALID", action: `Correct ${file}.` });
  } catch (cause) {
    // A getter may throw anything.
    throw isMillraceError(cause) ? cause : configFailed(file, cause);
  }
  const config = value as Config;
  for (const [kind, name] of namesIn(config)) checkName(file, kind, name);
  return config;
}

async function readJson(file: string): Promise<unknown> {
  try {
    const text = await readFile(file, "utf8");
    // Some editors begin a file with a byte order mark.
    return JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (cause) {
    throw configFailed(file, cause);
  }
}

async function readModule(file: string): Promise<unknown> {
  if (/\.m?ts$/.test(file) && process.features.typescript === false) throw nodeTooOld(file);
  let config: unknown;
  try {
    const module: { readonly default?: unknown } = await import(pathToFileURL(file).href);
    config = await module.default;
  } catch (cause) {
    throw configFailed(file, cause);
  }
  if (config !== undefined) return config;
  throw new MillraceError({
    class: "usage",
    code: "CONFIG_INVALID",
    message: `${file} has no default export.`,
    action: "Write: export default defineConfig({ … });",
  });
}

function* namesIn({
  project,
  deployers = {},
  stacks = {},
}: Config): Generator<readonly [kind: string, name: string]> {
  if (project !== undefined) yield ["project", project];
  for (const name of Object.keys(deployers)) yield ["deployer", name];
  for (const name of Object.keys(stacks)) yield ["stack", name];
}

function checkName(file: string, kind: string, name: string): void {
  try {
    validName(kind, name);
  } catch (cause) {
    if (!isMillraceError(cause)) throw cause;
    throw new MillraceError({ ...cause, message: `${file}: ${cause.message}`, cause });
  }
}

function configFailed(file: string, cause: unknown): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "CONFIG_FAILED",
    message: `${placeIn(file, cause)} could not be loaded: ${messageOf(cause)}`,
    action: isModuleReadAsScript(cause)
      ? `Run in ${dirname(file)}: npm pkg set type=module`
      : "Correct the file; `--debug` shows where it failed.",
    cause,
  });
}

/** What Node says when the nearest package.json has `"type": "commonjs"`, as `npm init -y` writes it. */
function isModuleReadAsScript(cause: unknown): boolean {
  return (
    cause instanceof SyntaxError &&
    /^(Cannot use import statement outside a module|Unexpected token 'export')$/.test(cause.message)
  );
}

/** The file with the line at which it, or a file of one's own that it imports, failed. */
function placeIn(file: string, cause: unknown): string {
  const stack = cause instanceof Error ? (cause.stack ?? "") : "";
  for (const [, url = "", place] of stack.matchAll(/((?:file:\/)?\/[^\s()]+?)((?::\d+)+)/g)) {
    const path = url.startsWith("file:") ? fileURLToPath(url) : url;
    if (path === file || (path.startsWith(dirname(file)) && !path.includes("node_modules")))
      return `${path}${place}`;
  }
  return file;
}

function nodeTooOld(file: string): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "NODE_TOO_OLD",
    message: `Node ${process.versions.node} cannot load ${file}: it does not know TypeScript.`,
    action: "Use Node 22.18 or newer, or write the configuration as millrace.config.js or .json.",
  });
}
