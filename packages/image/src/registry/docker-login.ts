import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import { MillraceError, messageOf, parse, type RegistryCredentials, Secret } from "@millrace/core";
import { z } from "zod";
import { parseRepositoryName, type RepositoryName } from "../reference.ts";
import type { Login } from "./authorization.ts";

/** The key under which Docker keeps logins at Docker Hub. */
const DOCKER_HUB_KEY = "https://index.docker.io/v1/";
const HELPER_TIMEOUT_MS = 30_000;
const LONGEST_ANSWER = 1024 * 1024;
const HELPER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,100}$/;
/** What helpers say when they have nothing (github.com/docker/docker-credential-helpers). */
const NOTHING_FOUND = /credentials not found|no credentials (?:server URL|username)/i;
/** The user name that marks a helper's secret as an identity token. */
const TOKEN_USER = "<token>";

// Docker's own types have no difference between what is missing, null and empty.
const entrySchema = z.looseObject({
  auth: z.string().nullish(),
  username: z.string().nullish(),
  password: z.string().nullish(),
  identitytoken: z.string().nullish(),
});
type Entry = z.output<typeof entrySchema>;
const configSchema = z.looseObject({
  auths: z.record(z.string(), entrySchema.nullable()).nullish(),
  credHelpers: z.record(z.string(), z.string()).nullish(),
  credsStore: z.string().nullish(),
});
type Config = z.output<typeof configSchema>;

const helperAnswerSchema = z.looseObject({ Username: z.string(), Secret: z.string() });

function invalid(file: string, why: string, cause?: unknown): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "DOCKER_CONFIG_INVALID",
    message: `The Docker configuration ${file} cannot be used: ${why}.`,
    action: 'Correct it, or remove it and run "docker login" again.',
    cause,
  });
}

async function readConfig(file: string): Promise<Config | null> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw invalid(file, messageOf(error), error);
  }
  if (text.trim() === "") return null;
  try {
    return parse(configSchema, JSON.parse(text), {
      what: `The Docker configuration ${file}`,
      code: "DOCKER_CONFIG_INVALID",
    });
  } catch (error) {
    // What JSON.parse says quotes the text, and that may hold a password.
    if (error instanceof SyntaxError) throw invalid(file, "it is no JSON");
    throw error;
  }
}

const HUB_HOST = "index.docker.io";

/**
 * What a key of `auths` is for: a registry, or a part of one as podman writes it (`host/team`). Older Dockers wrote whole
 * URLs, whose path says nothing.
 */
function scopeOf(key: string): string {
  const url = /^https?:\/\//.test(key);
  const [host = "", ...path] = key.replace(/^https?:\/\//, "").split("/");
  const registry = host === HUB_HOST ? "docker.io" : host;
  const inside = path.filter((part) => part !== "").join("/");
  return url || inside === "" || /^v[12]$/.test(inside) ? registry : `${registry}/${inside}`;
}

function loginOf(username: string, secret: string): Login {
  return username === TOKEN_USER
    ? { kind: "identity", token: new Secret(secret) }
    : { kind: "password", username, password: new Secret(secret) };
}

/** The login of one entry; a login in base64 comes first, as with Docker. */
function loginOfEntry(file: string, scope: string, entry: Entry): Login | null {
  const { auth, username, password, identitytoken } = entry;
  if (identitytoken) return { kind: "identity", token: new Secret(identitytoken) };
  if (!auth) return username && password ? loginOf(username, password) : null;
  const [, user, secret] = /^([^:]*):(.*)$/s.exec(Buffer.from(auth, "base64").toString()) ?? [];
  if (user === undefined || secret === undefined)
    throw invalid(file, `the auth of ${scope} is no user name and password in base64`);
  return loginOf(user, secret.replace(/^\0+|\0+$/g, ""));
}

/** The login of the longest key that the repository lies in. */
function loginInFile(
  file: string,
  config: Config,
  { registry, repository }: RepositoryName,
): Login | null {
  const fitting = Object.entries(config.auths ?? {})
    .map(([key, entry]) => ({ key, scope: scopeOf(key), entry: entry ?? {} }))
    .filter(({ scope }) => `${registry}/${repository}/`.startsWith(`${scope}/`))
    // Of two keys for the same, the one that is no URL is newer.
    .sort((a, b) => b.scope.length - a.scope.length || a.key.length - b.key.length);
  for (const { scope, entry } of fitting) {
    const login = loginOfEntry(file, scope, entry);
    if (login !== null) return login;
  }
  return null;
}

function helperFailed(program: string, registry: string, why: string, cause?: unknown) {
  return new MillraceError({
    class: "usage",
    code: "CREDENTIAL_HELPER_FAILED",
    message: `The credential helper ${program} gave no login for ${registry}: ${why}.`,
    action: `Run "docker login ${registry}", or correct credsStore and credHelpers in Docker's config.json.`,
    cause,
  });
}

/** The last line of what a helper has said. Nothing of what may be its answer: that has the secret. */
function lastWords(said: string): string {
  const lines = said.includes("{") ? [] : stripVTControlCharacters(said).trim().split("\n");
  return (lines.at(-1) ?? "").replace(/\p{Cc}/gu, "").slice(0, 200);
}

/** Systems without groups of processes have at least the process. */
function endWithChildren(child: ChildProcess): void {
  if (process.platform === "win32" || child.pid === undefined) {
    child.kill("SIGKILL");
    return;
  }
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // All of them have ended.
  }
}

async function textOf(stream: Readable): Promise<string> {
  let text = "";
  for await (const chunk of stream.setEncoding("utf8")) {
    text += chunk;
    if (text.length > LONGEST_ANSWER) throw new Error("it says more than 1 MiB");
  }
  return text;
}

interface HelperEnd {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a helper in a group of its own, so that what it has started ends with it. */
async function runHelper(program: string, key: string, signal: AbortSignal): Promise<HelperEnd> {
  const detached = process.platform !== "win32";
  const child = spawn(program, ["get"], { signal, killSignal: "SIGKILL", detached });
  // A helper that ends without reading is told by its exit, not by a broken pipe.
  child.stdin.on("error", () => undefined).end(`${key}\n`);
  try {
    const saying = [textOf(child.stdout), textOf(child.stderr)] as const;
    const [stdout, stderr] = await Promise.all([...saying, once(child, "close")]);
    return { exitCode: child.exitCode, stdout, stderr };
  } catch (error) {
    endWithChildren(child);
    child.stdout.destroy();
    child.stderr.destroy();
    throw error;
  }
}

function whyItDidNotRun(error: unknown): string {
  const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
  return missing ? "it is not on the PATH" : messageOf(error);
}

async function loginFromHelper(
  name: string,
  registry: string,
  signal: AbortSignal,
): Promise<Login | null> {
  const program = `docker-credential-${name}`;
  const failed = (why: string, cause?: unknown) => helperFailed(program, registry, why, cause);
  if (!HELPER_NAME.test(name))
    throw helperFailed(JSON.stringify(program), registry, "that is no program's name");
  const key = registry === "docker.io" ? DOCKER_HUB_KEY : registry;
  const timeout = AbortSignal.timeout(HELPER_TIMEOUT_MS);
  const running = runHelper(program, key, AbortSignal.any([signal, timeout]));
  const { exitCode, stdout, stderr } = await running.catch((error: unknown) => {
    signal.throwIfAborted();
    throw timeout.aborted
      ? failed(`it took longer than ${HELPER_TIMEOUT_MS / 1000} seconds`, error)
      : failed(whyItDidNotRun(error), error);
  });
  if (exitCode !== 0) {
    if (NOTHING_FOUND.test(stdout)) return null;
    throw failed(lastWords(stdout) || lastWords(stderr) || "it ended with an error");
  }
  const { data } = helperAnswerSchema.safeParse(readAnswer(stdout, failed));
  if (data === undefined) throw failed("its answer has no Username and Secret");
  return data.Secret === "" ? null : loginOf(data.Username, data.Secret);
}

function readAnswer(stdout: string, failed: (why: string) => MillraceError): unknown {
  try {
    return JSON.parse(stdout);
  } catch {
    // What JSON.parse says quotes the text, and that has the secret.
    throw failed("its answer is no JSON");
  }
}

/**
 * The login that Docker's configuration file has for a repository: from `credHelpers`, `credsStore` or `auths`, as Docker
 * looks for it. Null when it has none.
 * @param directory Default: `$DOCKER_CONFIG`, else `.docker` in the home folder.
 * @throws MillraceError DOCKER_CONFIG_INVALID, CREDENTIAL_HELPER_FAILED
 */
export async function findDockerLogin(
  name: RepositoryName,
  signal: AbortSignal,
  directory: string = process.env["DOCKER_CONFIG"] || join(homedir(), ".docker"),
): Promise<Login | null> {
  const { registry } = name;
  const file = join(directory, "config.json");
  const config = await readConfig(file);
  if (config === null) return null;
  const helpers = config.credHelpers ?? {};
  const key = registry === "docker.io" ? DOCKER_HUB_KEY : registry;
  const helper = helpers[key] ?? helpers[registry] ?? config.credsStore;
  const found = helper ? await loginFromHelper(helper, registry, signal) : null;
  return found ?? loginInFile(file, config, name);
}

/** The login for a repository that Docker's configuration file has, for others to pull with; null when it has none. */
export async function findCredentials(
  repository: string,
  signal: AbortSignal,
): Promise<RegistryCredentials | null> {
  const login = await findDockerLogin(parseRepositoryName(repository), signal);
  if (login === null) return null;
  return login.kind === "identity"
    ? { username: TOKEN_USER, password: login.token }
    : { username: login.username, password: login.password };
}
