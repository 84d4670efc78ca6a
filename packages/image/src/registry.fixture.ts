import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

export interface Registry {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  /** Where it keeps a blob. */
  blobFile(digest: string): string;
  stop(): Promise<void>;
}

/** Lets in `ada` with the password `secret`. */
export function basicAuth(folder: string): Readonly<Record<string, unknown>> {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, "htpasswd");
  // bcrypt, 32 rounds.
  writeFileSync(path, "ada:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n");
  return { htpasswd: { realm: "test", path } };
}

export interface RegistryOptions {
  /** Sections of docker-registry's configuration beside those for storage and address. */
  readonly auth?: Readonly<Record<string, unknown>>;
  readonly tls?: { readonly certificate: string; readonly key: string };
}

/** Starts Debian's docker-registry with its data in a folder. */
export async function startRegistry(
  folder: string,
  options: RegistryOptions = {},
): Promise<Registry> {
  mkdirSync(folder, { recursive: true });
  const { auth, tls } = options;
  // YAML takes JSON.
  const configuration = {
    version: 0.1,
    log: { level: "info", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(folder, "data") }, delete: { enabled: true } },
    http: { addr: "127.0.0.1:0", secret: "test", ...(tls === undefined ? {} : { tls }) },
    ...(auth === undefined ? {} : { auth }),
  };
  const file = join(folder, "config.yml");
  writeFileSync(file, JSON.stringify(configuration));
  const child = spawn("docker-registry", ["serve", file], { stdio: ["ignore", "ignore", "pipe"] });
  const port = await listeningPort(child);
  return {
    host: `127.0.0.1:${port}`,
    blobFile(digest) {
      const hex = digest.slice("sha256:".length);
      const blobs = join(folder, "data/docker/registry/v2/blobs/sha256");
      return join(blobs, hex.slice(0, 2), hex, "data");
    },
    async stop() {
      const exited = once(child, "exit");
      if (child.exitCode !== null || !child.kill("SIGKILL")) return;
      await exited;
    },
  };
}

async function listeningPort(child: ChildProcess): Promise<string> {
  if (child.stderr === null) throw new Error("docker-registry has no log.");
  const said: string[] = [];
  for await (const line of createInterface({ input: child.stderr })) {
    said.push(line);
    const port = /listening on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
    if (port === undefined) continue;
    child.stderr.resume();
    return port;
  }
  throw new Error(`docker-registry did not start:\n${said.join("\n")}`);
}
