import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { MillraceError, messageOf, parse } from "@millrace/core";
import { z } from "zod";

/** Sockets of an engine of this machine: of the system's, and of Docker Desktop's. */
const SYSTEM_SOCKET = "/var/run/docker.sock";
const DESKTOP_SOCKET = ".docker/run/docker.sock";
const WINDOWS_PIPE = "npipe:////./pipe/docker_engine";
/** The context that stands for "what the environment says". */
const DEFAULT_CONTEXT = "default";

export interface TlsOptions {
  /** Certificates as PEM; null where none was given. */
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
  /** Whether the engine must show a certificate that is trusted. */
  readonly verify: boolean;
}

/** Where an engine is. */
export type EngineEndpoint =
  | { readonly kind: "socket"; readonly path: string }
  | { readonly kind: "ssh"; readonly url: URL }
  /** Null: without encryption. */
  | { readonly kind: "tcp"; readonly url: URL; readonly tls: TlsOptions | null };

/**
 * Where the engine is, found as Docker's own command does it: `engine` is its `--host`; then DOCKER_HOST, the context that
 * DOCKER_CONTEXT or Docker's configuration names, and the socket of this machine.
 * @throws MillraceError DOCKER_HOST_INVALID, DOCKER_CONTEXT_MISSING, DOCKER_CONFIG_INVALID, DOCKER_TLS_INCOMPLETE
 */
export async function findEngine(
  engine: string | undefined,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<EngineEndpoint> {
  const folder = environment["DOCKER_CONFIG"] || join(homedir(), ".docker");
  const host = engine ?? (environment["DOCKER_HOST"] || undefined);
  if (host !== undefined) return endpointOf(host, () => tlsOfEnvironment(folder, environment));
  const context = environment["DOCKER_CONTEXT"] || (await currentContext(folder));
  if (context !== DEFAULT_CONTEXT) return readContext(folder, context);
  return endpointOf(defaultHost(), () => tlsOfEnvironment(folder, environment));
}

function defaultHost(): string {
  if (process.platform === "win32") return WINDOWS_PIPE;
  const desktop = join(homedir(), DESKTOP_SOCKET);
  return `unix://${!existsSync(SYSTEM_SOCKET) && existsSync(desktop) ? desktop : SYSTEM_SOCKET}`;
}

/** What may follow is a path and no URL: nothing in it is encoded. */
const SOCKET = /^(?:unix|npipe):\/\/(.+)$/;

async function endpointOf(
  host: string,
  tls: () => Promise<TlsOptions | null>,
): Promise<EngineEndpoint> {
  const path = SOCKET.exec(host)?.[1];
  if (path !== undefined) return { kind: "socket", path };
  const url = URL.parse(host.includes("://") ? host : `tcp://${host}`);
  if (url === null || url.hostname === "") throw hostInvalid(host);
  switch (url.protocol) {
    case "ssh:":
      return { kind: "ssh", url };
    case "tcp:":
    case "http:":
      return { kind: "tcp", url, tls: await tls() };
    case "https:":
      return { kind: "tcp", url, tls: (await tls()) ?? PUBLICLY_TRUSTED };
    default:
      throw hostInvalid(host);
  }
}

const PUBLICLY_TRUSTED: TlsOptions = { ca: null, cert: null, key: null, verify: true };

function hostInvalid(host: string): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "DOCKER_HOST_INVALID",
    message: `${JSON.stringify(host)} does not say where a Docker engine is.`,
    action:
      "Use the form unix:///path, tcp://host:port or ssh://user@host in the setting `engine` or in DOCKER_HOST.",
  });
}

/** As Docker's command reads it: DOCKER_TLS_VERIFY, DOCKER_TLS, and DOCKER_CERT_PATH with its three files. */
async function tlsOfEnvironment(
  folder: string,
  environment: NodeJS.ProcessEnv,
): Promise<TlsOptions | null> {
  const verify = Boolean(environment["DOCKER_TLS_VERIFY"]);
  if (!verify && !environment["DOCKER_TLS"]) return null;
  return readTls(environment["DOCKER_CERT_PATH"] || folder, verify);
}

async function readTls(folder: string, verify: boolean): Promise<TlsOptions> {
  const read = (name: string): Promise<string | null> => readIfThere(join(folder, name));
  const [ca, cert, key] = await Promise.all([read("ca.pem"), read("cert.pem"), read("key.pem")]);
  if ((cert === null) !== (key === null)) {
    throw new MillraceError({
      class: "usage",
      code: "DOCKER_TLS_INCOMPLETE",
      message: `The folder ${folder} has only one of cert.pem and key.pem.`,
      action: "Put both there, or name the folder that has them by DOCKER_CERT_PATH.",
    });
  }
  return { ca, cert, key, verify };
}

const configSchema = z.looseObject({ currentContext: z.string().optional() });

async function currentContext(folder: string): Promise<string> {
  const file = join(folder, "config.json");
  const config = await readJson(file, configSchema);
  return config?.currentContext || DEFAULT_CONTEXT;
}

const contextSchema = z.looseObject({
  Endpoints: z.looseObject({
    docker: z.looseObject({ Host: z.string(), SkipTLSVerify: z.boolean().default(false) }),
  }),
});

/** How Docker keeps contexts: docs.docker.com/engine/manage-resources/contexts. */
async function readContext(folder: string, name: string): Promise<EngineEndpoint> {
  const digest = createHash("sha256").update(name).digest("hex");
  const contexts = join(folder, "contexts");
  const context = await readJson(join(contexts, "meta", digest, "meta.json"), contextSchema);
  if (context === null) throw contextMissing(name);
  const { Host, SkipTLSVerify } = context.Endpoints.docker;
  return endpointOf(Host, async () => {
    const tls = await readTls(join(contexts, "tls", digest, "docker"), !SkipTLSVerify);
    return tls.ca === null && tls.cert === null && !SkipTLSVerify ? null : tls;
  });
}

function contextMissing(name: string): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "DOCKER_CONTEXT_MISSING",
    message: `There is no Docker context ${JSON.stringify(name)}.`,
    action:
      "Choose one that `docker context ls` shows, by `docker context use` or DOCKER_CONTEXT, or set `engine`.",
  });
}

async function readJson<T>(file: string, schema: z.ZodType<T>): Promise<T | null> {
  const text = await readIfThere(file);
  if (text === null) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // What JSON.parse says quotes the text, and that may hold a password.
    throw configInvalid(file, "it is no JSON");
  }
  return parse(schema, value, { what: `The file ${file}`, code: "DOCKER_CONFIG_INVALID" });
}

async function readIfThere(file: string): Promise<string | null> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw configInvalid(file, messageOf(error), error);
  }
}

function configInvalid(file: string, why: string, cause?: unknown): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "DOCKER_CONFIG_INVALID",
    message: `The file ${file} cannot be used: ${why}.`,
    action: "Correct or remove it, or set `engine` or DOCKER_HOST.",
    cause,
  });
}
