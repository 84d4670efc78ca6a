import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Secret } from "@millrace/core";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { base, docker, engineUrl, readContext } from "./engine.fixture.ts";
import { EngineAccess } from "./engine.ts";
import { readProgress } from "./engine-progress.ts";
import { pullImage } from "./image-pull.ts";

const LOGIN = { username: "ada", password: "secret" };
const folder = mkdtempSync(join(tmpdir(), "millrace-pull-"));
let registry: ChildProcess;
let repository = "";
let reference = "";

/** Debian's docker-registry, which lets in nobody but `ada`. */
async function startRegistry(): Promise<number> {
  const htpasswd = join(folder, "htpasswd");
  // bcrypt, 32 rounds.
  writeFileSync(htpasswd, "ada:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n");
  const file = join(folder, "config.yml");
  // YAML takes JSON.
  const configuration = {
    version: 0.1,
    storage: { filesystem: { rootdirectory: join(folder, "data") } },
    http: { addr: "127.0.0.1:0", secret: "test" },
    auth: { htpasswd: { realm: "test", path: htpasswd } },
  };
  writeFileSync(file, JSON.stringify(configuration));
  registry = spawn("docker-registry", ["serve", file], { stdio: ["ignore", "ignore", "pipe"] });
  if (registry.stderr === null) throw new Error("docker-registry has no log");
  for await (const line of createInterface({ input: registry.stderr })) {
    const port = /listening on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
    if (port === undefined) continue;
    registry.stderr.resume();
    return Number(port);
  }
  throw new Error("docker-registry did not start");
}

beforeAll(async () => {
  repository = `127.0.0.1:${await startRegistry()}/team/app`;
  await docker.getImage(base).tag({ repo: repository, tag: "one" });
  const pushed = await docker.getImage(`${repository}:one`).push({ authconfig: LOGIN });
  await readProgress(pushed, "push");
  const { RepoDigests } = await docker.getImage(`${repository}:one`).inspect();
  reference = RepoDigests.find((digest) => digest.startsWith(repository)) ?? "";
});

afterAll(async () => {
  const exited = once(registry, "exit");
  if (registry.kill("SIGKILL")) await exited;
  rmSync(folder, { recursive: true });
});

async function pull(
  credentials: Parameters<typeof pullImage>[1]["credentials"],
  which = reference,
) {
  const engine = await new EngineAccess(engineUrl).open(readContext());
  return pullImage(engine, { reference: which, credentials }, readContext());
}

const exists = () =>
  docker
    .getImage(reference)
    .inspect()
    .then(
      () => true,
      () => false,
    );

test("an image that the engine has is not pulled again", async () => {
  await pull(null);
});

test("the engine pulls with the login that it is given, and not without", async () => {
  await docker.getImage(`${repository}:one`).remove();
  expect(await exists()).toBe(false);
  await expect(pull(null)).rejects.toMatchObject({
    code: "REGISTRY_DENIED",
    class: "platform",
  });
  const wrong = { username: "ada", password: new Secret("hunter22") };
  const denied = pull(wrong);
  await expect(denied).rejects.toMatchObject({ code: "REGISTRY_DENIED" });
  await denied.catch((error: Error) =>
    expect(JSON.stringify(error) + error.message + error.cause).not.toContain("hunter22"),
  );
  await pull({ username: "ada", password: new Secret("secret") });
  expect(await exists()).toBe(true);
  await docker.getImage(reference).remove();
});

test("an image that is not there is told", async () => {
  const gone = `${repository}@sha256:${"0".repeat(64)}`;
  const login = { username: "ada", password: new Secret("secret") };
  await expect(pull(login, gone)).rejects.toMatchObject({ code: "IMAGE_MISSING" });
});

test("a registry whose certificate the engine does not trust is told", async () => {
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  execFileSync(
    "openssl",
    [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
      ...["-days", "1", "-subj", "/CN=registry", "-keyout", key, "-out", cert],
    ],
    { stdio: "ignore" },
  );
  // On loopback, an engine asks for no certificate.
  const { IPAM } = await docker.getNetwork("bridge").inspect();
  const address: unknown = IPAM?.Config?.[0]?.Gateway;
  if (typeof address !== "string") throw new Error("the engine's bridge has no address");
  const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) });
  server.listen(0, address);
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const untrusted = `${address}:${port}/team/app@sha256:${"0".repeat(64)}`;
  await expect(pull(null, untrusted)).rejects.toMatchObject({
    code: "REGISTRY_UNTRUSTED",
    class: "platform",
    action: expect.stringContaining("/etc/docker/certs.d"),
  });
});
