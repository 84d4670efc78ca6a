import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const START_TIMEOUT_MS = 60_000;

/** A PostgreSQL server of our own, in a folder that goes with it. */
export interface Cluster {
  /** Of the superuser `millrace`, and the database `postgres`. */
  readonly url: string;
  stop(): Promise<void>;
}

interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** Makes a cluster and starts its server on loopback; asks for a password, and forgets everything in the end. */
export async function startCluster(binaries: string): Promise<Cluster> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-postgres-"));
  const account = unprivileged();
  if (account !== undefined) chownSync(folder, account.uid, account.gid);
  try {
    const password = randomUUID();
    initialize(binaries, folder, password, account);
    const port = await freePort();
    const server = await startServer(binaries, folder, port, account);
    return {
      url: `postgres://millrace:${password}@127.0.0.1:${port}/postgres`,
      async stop() {
        server.stdin?.end();
        if (server.exitCode === null && server.signalCode === null) await once(server, "exit");
        rmSync(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

/** PostgreSQL refuses to run as root. */
function unprivileged(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const idOf = (option: string, user: string) =>
    Number(
      execFileSync("id", [option, user], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }),
    );
  for (const user of ["postgres", "nobody"]) {
    try {
      return { uid: idOf("-u", user), gid: idOf("-g", user) };
    } catch {
      // There is no such user here.
    }
  }
  throw new Error(
    "PostgreSQL does not run as root, and there is neither a user postgres nor nobody.",
  );
}

function initialize(
  binaries: string,
  folder: string,
  password: string,
  account: Account | undefined,
): void {
  const passwordFile = join(folder, "password");
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (account !== undefined) chownSync(passwordFile, account.uid, account.gid);
  const options = [
    ["--pgdata", join(folder, "data")],
    ["--username", "millrace"],
    ["--pwfile", passwordFile],
    ["--auth", "scram-sha-256"],
    ["--encoding", "UTF8"],
    ["--locale", "C.UTF-8"],
  ];
  execFileSync(join(binaries, "initdb"), [...options.flat(), "--no-sync"], {
    ...account,
    cwd: folder,
    stdio: ["ignore", "ignore", "inherit"],
  });
}

/** The shell ends the server, and removes the folder, when its standard input ends: at the latest with the process that started it. */
const UNTIL_INPUT_ENDS = `"$@" & server=$!; cat > /dev/null; kill -INT $server; wait $server; rm -rf "$0"`;

async function startServer(
  binaries: string,
  folder: string,
  port: number,
  account: Account | undefined,
): Promise<ChildProcess> {
  const settings = {
    listen_addresses: "127.0.0.1",
    port,
    unix_socket_directories: folder,
    max_connections: 60,
    fsync: "off",
    log_min_messages: "log",
  };
  const child = spawn(
    "sh",
    [
      "-c",
      UNTIL_INPUT_ENDS,
      folder,
      join(binaries, "postgres"),
      "-D",
      join(folder, "data"),
      ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
    ],
    { ...account, cwd: folder, stdio: ["pipe", "ignore", "pipe"] },
  );
  await ready(child);
  return child;
}

/** The server says on its log when it takes connections. */
async function ready(child: ChildProcess): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const said: string[] = [];
  const timer = setTimeout(
    () => reject(new Error(`PostgreSQL did not start:\n${said.join("\n")}`)),
    START_TIMEOUT_MS,
  );
  child.once("error", reject);
  child.once("exit", () => reject(new Error(`PostgreSQL ended:\n${said.join("\n")}`)));
  if (child.stderr !== null)
    createInterface({ input: child.stderr }).on("line", (line) => {
      said.push(line);
      if (line.includes("ready to accept connections")) resolve();
    });
  try {
    await promise;
  } catch (error) {
    child.stdin?.end();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** PostgreSQL takes no port 0. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
