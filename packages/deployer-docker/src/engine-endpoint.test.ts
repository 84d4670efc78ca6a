import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { findEngine } from "./engine-endpoint.ts";

/** A folder of Docker's configuration, with these files. */
async function configFolder(files: Readonly<Record<string, string>> = {}): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-docker-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(join(folder, name, ".."), { recursive: true });
    await writeFile(join(folder, name), content);
  }
  return folder;
}

const digest = (name: string) => createHash("sha256").update(name).digest("hex");

function contextFile(name: string, docker: object): Record<string, string> {
  const meta = JSON.stringify({ Name: name, Metadata: {}, Endpoints: { docker } });
  return { [`contexts/meta/${digest(name)}/meta.json`]: meta };
}

/** What is found, with its URL as text. */
async function found(engine: string | undefined, environment: NodeJS.ProcessEnv): Promise<object> {
  const endpoint = await findEngine(engine, environment);
  return endpoint.kind === "socket" ? endpoint : { ...endpoint, url: endpoint.url.href };
}

const socket = (path: unknown) => ({ kind: "socket", path });

describe("an engine", () => {
  it("is the one of the setting first, then of DOCKER_HOST, DOCKER_CONTEXT, the configuration, this machine", async () => {
    const DOCKER_CONFIG = await configFolder({
      "config.json": '{"currentContext":"configured","auths":{}}',
      ...contextFile("configured", { Host: "unix:///configured.sock" }),
      ...contextFile("named", { Host: "unix:///named.sock" }),
    });
    const DOCKER_HOST = "unix:///host.sock";
    const all = { DOCKER_CONFIG, DOCKER_CONTEXT: "named", DOCKER_HOST };
    expect(await found("unix:///set.sock", all)).toEqual(socket("/set.sock"));
    expect(await found(undefined, all)).toEqual(socket("/host.sock"));
    const named = { DOCKER_CONFIG, DOCKER_CONTEXT: "named" };
    expect(await found(undefined, named)).toEqual(socket("/named.sock"));
    expect(await found(undefined, { DOCKER_CONFIG })).toEqual(socket("/configured.sock"));
    const here = socket(expect.stringMatching(/docker\.sock$/));
    const byDefault = { DOCKER_CONFIG, DOCKER_CONTEXT: "default" };
    expect(await found(undefined, byDefault)).toEqual(here);
    expect(await found(undefined, { DOCKER_CONFIG: await configFolder() })).toEqual(here);
  });

  it.each([
    ["tcp://10.0.0.1:2375", { kind: "tcp", url: "tcp://10.0.0.1:2375", tls: null }],
    ["10.0.0.1:2375", { kind: "tcp", url: "tcp://10.0.0.1:2375", tls: null }],
    ["tcp://[::1]:2375", { kind: "tcp", url: "tcp://[::1]:2375", tls: null }],
    ["ssh://me@engine:2222", { kind: "ssh", url: "ssh://me@engine:2222" }],
    ["unix:///a b/../%41.sock", socket("/a b/../%41.sock")],
    ["npipe:////./pipe/docker_engine", socket("//./pipe/docker_engine")],
  ])("may be named as %s", async (engine, endpoint) => {
    expect(await found(engine, {})).toEqual(endpoint);
  });

  it.each(["unix://", "ftp://x", "tcp://", "ssh://", "tcp://x:99999", "/var/run/docker.sock"])(
    "named as %s is refused",
    async (engine) => {
      await expect(findEngine(engine, {})).rejects.toMatchObject({
        code: "DOCKER_HOST_INVALID",
        class: "usage",
        message: expect.stringContaining(engine),
      });
    },
  );
});

describe("encryption", () => {
  const files = { "ca.pem": "CA", "cert.pem": "CERT", "key.pem": "KEY" };
  const tls = { ca: "CA", cert: "CERT", key: "KEY", verify: true };
  const url = "tcp://engine:2376";
  const encrypted = (by: object | null) => ({ kind: "tcp", url, tls: by });

  it("is that of the environment for a TCP engine", async () => {
    const DOCKER_CERT_PATH = await configFolder(files);
    const verified = { DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH };
    expect(await found(url, verified)).toEqual(encrypted(tls));
    expect(await found(undefined, { ...verified, DOCKER_HOST: url })).toEqual(encrypted(tls));
    expect(await found(url, { DOCKER_TLS: "1", DOCKER_CERT_PATH })).toEqual(
      encrypted({ ...tls, verify: false }),
    );
    expect(await found(url, { DOCKER_CERT_PATH })).toEqual(encrypted(null));
    expect(await found("unix:///x.sock", verified)).toEqual(socket("/x.sock"));
  });

  it("is looked for in Docker's configuration when no other folder is named", async () => {
    const DOCKER_CONFIG = await configFolder(files);
    expect(await found(url, { DOCKER_TLS_VERIFY: "1", DOCKER_CONFIG })).toEqual(encrypted(tls));
  });

  it("of a context lies beside it", async () => {
    const beside = (name: string) =>
      Object.fromEntries(
        Object.entries(files).map(([file, content]) => [
          `contexts/tls/${digest(name)}/docker/${file}`,
          content,
        ]),
      );
    const DOCKER_CONFIG = await configFolder({
      ...contextFile("safe", { Host: url, SkipTLSVerify: false }),
      ...beside("safe"),
      ...contextFile("lax", { Host: url, SkipTLSVerify: true }),
      ...contextFile("plain", { Host: url }),
    });
    const withContext = (name: string) =>
      found(undefined, { DOCKER_CONFIG, DOCKER_CONTEXT: name, DOCKER_TLS_VERIFY: "1" });
    expect(await withContext("safe")).toEqual(encrypted(tls));
    expect(await withContext("lax")).toEqual(
      encrypted({ ca: null, cert: null, key: null, verify: false }),
    );
    expect(await withContext("plain")).toEqual(encrypted(null));
  });

  it("with half of a key pair is refused", async () => {
    const DOCKER_CERT_PATH = await configFolder({ "cert.pem": "CERT" });
    await expect(
      findEngine(url, { DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH }),
    ).rejects.toMatchObject({ code: "DOCKER_TLS_INCOMPLETE", class: "usage" });
  });
});

describe("a configuration of Docker that cannot be used", () => {
  it("is told without showing what it holds", async () => {
    const DOCKER_CONFIG = await configFolder({ "config.json": '{"auths":{"r":"hunter2' });
    const refused = findEngine(undefined, { DOCKER_CONFIG });
    await expect(refused).rejects.toMatchObject({
      code: "DOCKER_CONFIG_INVALID",
      class: "usage",
      message: expect.not.stringContaining("hunter2"),
    });
  });

  it("is told when it names no context that exists", async () => {
    const DOCKER_CONFIG = await configFolder({ "config.json": '{"currentContext":"gone"}' });
    await expect(findEngine(undefined, { DOCKER_CONFIG })).rejects.toMatchObject({
      code: "DOCKER_CONTEXT_MISSING",
      message: 'There is no Docker context "gone".',
    });
  });

  it("is told when a context has another form", async () => {
    const DOCKER_CONFIG = await configFolder({
      "config.json": '{"currentContext":"odd"}',
      ...contextFile("odd", { Host: 7 }),
    });
    await expect(findEngine(undefined, { DOCKER_CONFIG })).rejects.toMatchObject({
      code: "DOCKER_CONFIG_INVALID",
    });
  });
});
