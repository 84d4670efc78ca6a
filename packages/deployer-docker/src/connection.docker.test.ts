import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { expect, onTestFinished, test, vi } from "vitest";
import { readContext, socket } from "./engine.fixture.ts";
import { EngineAccess } from "./engine.ts";

const NOBODY = 65_534;

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), "millrace-connection-"));
  onTestFinished(() => rmSync(made, { recursive: true }));
  return made;
}

function setEnvironment(values: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(values)) vi.stubEnv(name, value);
  onTestFinished(() => {
    vi.unstubAllEnvs();
  });
}

async function portOf(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** What the engine says of itself, by a connection of its own. */
async function version(url: string | undefined, signal?: AbortSignal): Promise<string> {
  const engine = await new EngineAccess(url).open(readContext(signal));
  return (await engine.ask("tell its version", () => engine.docker.version())).ApiVersion;
}

test("an engine is reached by its socket, whatever else the environment names", async () => {
  setEnvironment({ DOCKER_HOST: "tcp://127.0.0.1:1", DOCKER_CERT_PATH: "" });
  expect(await version(`unix://${socket}`)).toMatch(/^1\.\d+$/);
});

test("an engine is reached by TCP", async () => {
  const port = await portOf(createServer((client) => client.pipe(connect(socket)).pipe(client)));
  expect(await version(`tcp://127.0.0.1:${port}`)).toMatch(/^1\.\d+$/);
  setEnvironment({ DOCKER_HOST: `tcp://127.0.0.1:${port}` });
  expect(await version(undefined)).toMatch(/^1\.\d+$/);
});

/** A certificate for this machine that signs itself, as the three files that Docker has. */
function certificates(): string {
  const made = folder();
  const [key, cert] = [join(made, "key.pem"), join(made, "cert.pem")];
  execFileSync(
    "openssl",
    [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
      ...["-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
      ...["-keyout", key, "-out", cert],
    ],
    { stdio: "ignore" },
  );
  writeFileSync(join(made, "ca.pem"), readFileSync(cert));
  return made;
}

test("an engine is reached by TLS with certificates on both sides, and not without them", async () => {
  const DOCKER_CERT_PATH = certificates();
  const read = (name: string) => readFileSync(join(DOCKER_CERT_PATH, name));
  const [ca, cert, key] = [read("ca.pem"), read("cert.pem"), read("key.pem")];
  const server = createTlsServer(
    { ca, cert, key, requestCert: true, rejectUnauthorized: true },
    (client) => {
      client.on("error", () => client.destroy());
      client.pipe(connect(socket)).pipe(client);
    },
  );
  const url = `tcp://127.0.0.1:${await portOf(server)}`;
  await expect(version(url)).rejects.toMatchObject({ class: "unreachable" });
  setEnvironment({ DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH });
  expect(await version(url)).toMatch(/^1\.\d+$/);
  const other = certificates();
  setEnvironment({ DOCKER_CERT_PATH: other });
  await expect(version(url)).rejects.toMatchObject({
    code: "DOCKER_TLS_FAILED",
    class: "unreachable",
    retryable: false,
  });
});

/** Puts a program called `ssh` first on the PATH. */
function installSsh(program: string): void {
  const made = folder();
  const file = join(made, "ssh");
  writeFileSync(file, `#!${process.execPath}\n${program}`);
  chmodSync(file, 0o755);
  setEnvironment({ PATH: `${made}${delimiter}${process.env["PATH"]}` });
}

test("an engine is reached by ssh, and a connection is used again", async () => {
  const log = join(folder(), "log");
  installSsh(`
    require("node:fs").appendFileSync(${JSON.stringify(log)}, JSON.stringify(process.argv.slice(2)) + "\\n");
    const engine = require("node:net").connect(${JSON.stringify(socket)});
    process.stdin.pipe(engine).pipe(process.stdout);`);
  const engine = await new EngineAccess("ssh://me@engine.lan:2222").open(readContext());
  expect(engine.host).toBe("engine.lan");
  for (let count = 0; count < 3; count++)
    await engine.ask("list images", () => engine.docker.listImages());
  const runs = readFileSync(log, "utf8").trim().split("\n");
  expect(runs).toHaveLength(1);
  expect(JSON.parse(runs[0] ?? "")).toEqual(
    expect.arrayContaining([
      "-l",
      "me",
      "-p",
      "2222",
      "--",
      "engine.lan",
      "docker system dial-stdio",
    ]),
  );
});

test("what ssh says when it fails is told", async () => {
  installSsh(`console.error("me@engine: Permission denied (publickey)."); process.exit(255)`);
  await expect(version("ssh://me@engine")).rejects.toMatchObject({
    code: "DOCKER_SSH_FAILED",
    class: "unreachable",
    retryable: false,
    message: expect.stringContaining("Permission denied (publickey)"),
  });
});

test("an engine whose socket this user may not use is told", async () => {
  const path = join(folder(), "docker.sock");
  const server = createServer().listen(path);
  await once(server, "listening");
  onTestFinished(() => void server.close());
  chmodSync(path, 0);
  // Root may use every socket.
  const isRoot = process.geteuid?.() === 0;
  chmodSync(dirname(path), 0o755);
  if (isRoot) process.seteuid?.(NOBODY);
  onTestFinished(() => {
    if (isRoot) process.seteuid?.(0);
  });
  await expect(version(`unix://${path}`)).rejects.toMatchObject({
    code: "DOCKER_DENIED",
    class: "unreachable",
    retryable: false,
    action: expect.stringContaining("group docker"),
  });
});

test("an abort ends a call to an engine that does not answer", async () => {
  const port = await portOf(createServer(() => undefined));
  const abort = new AbortController();
  const asked = version(`tcp://127.0.0.1:${port}`, abort.signal);
  const reason = new Error("enough");
  abort.abort(reason);
  await expect(asked).rejects.toBe(reason);
});

test("an engine that is too old is told", async () => {
  const body = JSON.stringify({ ApiVersion: "1.40", Version: "19.03.15" });
  const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const server = createServer((client) => client.once("data", () => client.end(answer)));
  await expect(version(`tcp://127.0.0.1:${await portOf(server)}`)).rejects.toMatchObject({
    code: "ENGINE_TOO_OLD",
    class: "platform",
    message: expect.stringContaining("19.03.15"),
  });
});
