import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { MillraceError, messageOf, parse, type RegistryCredentials, Secret } from "@millrace/core";
import { z } from "zod";
import { parseRepositoryName } from "../reference.ts";
import type { Login } from "./authorization.ts";

/** The key under which Docker keeps logins at Docker Hub. */
const DOCKER_HUB_KEY = "https://index.docker.io/v1/";
const HELPER_TIMEOUT_MS = 30_000;
const HELPER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,100}$/;
/** What helpers say when they have nothing (github.com/docker/docker-credential-helpers). */
const NOTHING_FOUND = /credentials not found|no credentials (?:server URL|username)/i;
/** The user name that marks a helper's secret as an identity token. */
const TOKEN_USER = "<token>";

const entrySchema = z.looseObject({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
});
const configSchema = z.looseObject({
  auths: z.record(z.string(), entrySchema).optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
  credsStore: z.string().optional(),
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

/** What a key of `auths` is for: older Dockers wrote whole URLs. */
function hostOf(key: string): string {
  return key.replace(/^https?:\/\//, "").split("/", 1)[0] ?? key;
}

function loginOf(username: string, secret: string): Login {
  return username === TOKEN_USER
    ? { kind: "identity", token: new Secret(secret) }
    : { kind: "password", username, password: new Secret(secret) };
}

function loginInFile(file: string, config: Config, key: string): Login | null {
  const auths = config.auths ?? {};
  const found =
    auths[key] ?? Object.entries(auths).find(([name]) => hostOf(name) === hostOf(key))?.[1];
  if (found === undefined) return null;
  const { auth, username, password, identitytoken } = found;
  if (identitytoken) return { kind: "identity", token: new Secret(identitytoken) };
  if (username !== undefined && password !== undefined) return loginOf(username, password);
  if (!auth) return null;
  const [, user, secret] = /^([^:]*):(.*)$/s.exec(Buffer.from(auth, "base64").toString()) ?? [];
  if (user === undefined || secret === undefined)
    throw invalid(file, `the auth of ${hostOf(key)} is no user name and password in base64`);
  return loginOf(user, secret);
}

function helperFailed(program: string, key: string, why: string, cause: unknown): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "CREDENTIAL_HELPER_FAILED",
    message: `The credential helper ${program} gave no login for ${hostOf(key)}: ${why}.`,
    action: `Run "docker login ${hostOf(key)}", or correct credsStore and credHelpers in Docker's config.json.`,
    cause,
  });
}

/** The last line that a helper has said, without what it may have said of a secret. */
function lastWords(error: unknown): string {
  if (!(error instanceof Error)) return "it failed";
  if ("code" in error && error.code === "ENOENT") return "it is not on the PATH";
  if ("killed" in error && error.killed === true)
    return `it took longer than ${HELPER_TIMEOUT_MS / 1000} seconds`;
  const stderr = "stderr" in error ? String(error.stderr).trim() : "";
  return stderr.split("\n").at(-1)?.slice(0, 200) || "it ended with an error";
}

async function loginFromHelper(name: string, key: string): Promise<Login | null> {
  const program = `docker-credential-${name}`;
  if (!HELPER_NAME.test(name))
    throw helperFailed(JSON.stringify(program), key, "that is no program's name", undefined);
  let output: string;
  try {
    const running = promisify(execFile)(program, ["get"], {
      timeout: HELPER_TIMEOUT_MS,
      killSignal: "SIGKILL",
    });
    // A helper that ends without reading is told by its exit, not by a broken pipe.
    running.child.stdin?.on("error", () => undefined).end(`${key}\n`);
    output = (await running).stdout;
  } catch (error) {
    const said = error instanceof Error && "stdout" in error ? String(error.stdout) : "";
    if (NOTHING_FOUND.test(said)) return null;
    throw helperFailed(program, key, lastWords(error), error);
  }
  let answer: unknown;
  try {
    answer = JSON.parse(output);
  } catch {
    throw helperFailed(program, key, "its answer is no JSON", undefined);
  }
  const { data } = helperAnswerSchema.safeParse(answer);
  if (data === undefined)
    throw helperFailed(program, key, "its answer has no Username and Secret", undefined);
  return data.Secret === "" ? null : loginOf(data.Username, data.Secret);
}

/**
 * The login that Docker's configuration file has for a registry: from `credHelpers`, `credsStore` or `auths`, as Docker
 * looks for it. Null when it has none.
 * @param directory Default: `$DOCKER_CONFIG`, else `.docker` in the home folder.
 * @throws MillraceError DOCKER_CONFIG_INVALID, CREDENTIAL_HELPER_FAILED
 */
export async function findDockerLogin(
  registry: string,
  directory: string = process.env["DOCKER_CONFIG"] ?? join(homedir(), ".docker"),
): Promise<Login | null> {
  const file = join(directory, "config.json");
  const config = await readConfig(file);
  if (config === null) return null;
  const key = registry === "docker.io" ? DOCKER_HUB_KEY : registry;
  const helper = config.credHelpers?.[key] ?? config.credHelpers?.[registry] ?? config.credsStore;
  const found = helper ? await loginFromHelper(helper, key) : null;
  return found ?? loginInFile(file, config, key);
}

/** The login at a repository's registry that Docker's configuration file has, for others to pull with; null when it has none. */
export async function findCredentials(repository: string): Promise<RegistryCredentials | null> {
  const login = await findDockerLogin(parseRepositoryName(repository).registry);
  if (login === null) return null;
  return login.kind === "identity"
    ? { username: TOKEN_USER, password: login.token }
    : { username: login.username, password: login.password };
}
