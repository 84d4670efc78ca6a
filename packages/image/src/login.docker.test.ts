import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { Secret } from "@millrace/core";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { resolveBase } from "./base.ts";
import { type FaultProxy, startFaultProxy } from "./fault-proxy.fixture.ts";
import { type PushRequest, pushImage } from "./push.ts";
import { basicAuth, type Registry, startRegistry } from "./registry.fixture.ts";
import { quiet, scratchFolder } from "./scratch.fixture.ts";
import { names, imageOf as smallImage } from "./small-image.fixture.ts";
import { makeCertificate, startTokenService, type TokenService } from "./token-service.fixture.ts";

const folder = scratchFolder();
const cacheDirectory = join(folder, "cache");
const ADA = { username: "ada", password: new Secret("secret") };
const EVE = { username: "eve", password: new Secret("guess") };

const imageOf = (code: string) => smallImage(code, cacheDirectory);

async function push(repository: string, over: Partial<PushRequest> = {}) {
  return pushImage(await imageOf(repository), {
    ...quiet,
    repository,
    tag: "1",
    credentials: ADA,
    cacheDirectory,
    retry: { attempts: 2, firstDelayMs: 1 },
    ...over,
  });
}

function pull(reference: string, credentials: PushRequest["credentials"] = ADA) {
  const platform = { os: "linux", architecture: "amd64" } as const;
  const fresh = join(folder, `pulled-${Math.random()}`);
  return resolveBase({ ...quiet, reference, platform, cacheDirectory: fresh, credentials });
}

/** Docker's configuration for the time of the test file. */
function configureDocker(config: unknown): void {
  const directory = join(folder, "docker");
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "config.json"), JSON.stringify(config));
  vi.stubEnv("DOCKER_CONFIG", directory);
}

beforeEach(() => configureDocker({}));

describe("a registry with Basic authentication", () => {
  let registry: Registry;
  beforeAll(async () => {
    registry = await startRegistry(join(folder, "basic"), {
      auth: basicAuth(join(folder, "users")),
    });
  });
  afterAll(() => registry.stop());

  it("is pushed to and pulled from with the login", async () => {
    expect((await push(`${registry.host}/b/x`)).uploaded).toHaveLength(3);
    expect((await pull(`${registry.host}/b/x:1`)).layers).toHaveLength(2);
  });

  it("is logged in at with what Docker's configuration has", async () => {
    configureDocker({
      auths: { [registry.host]: { auth: Buffer.from("ada:secret").toString("base64") } },
    });
    const { uploaded } = await push(`${registry.host}/b/y`, { credentials: null });
    expect(names(uploaded)).toContain("config");
  });

  it.each([
    ["wants a login", null],
    ["does not accept the login", EVE],
  ])("%s", async (why, credentials) => {
    const pushing = () => push(`${registry.host}/b/z`, { credentials });
    const pulling = () => pull(`${registry.host}/b/x:1`, credentials);
    for (const trying of [pushing, pulling])
      await expect(trying()).rejects.toMatchObject({
        code: "REGISTRY_UNAUTHORIZED",
        message: expect.stringContaining(why),
        action: expect.stringContaining(`docker login ${registry.host}`),
      });
  });

  it("gets no login sent on to other hosts", async () => {
    const seen: (string | undefined)[] = [];
    const storage = createServer((request, response) => {
      seen.push(request.headers.authorization);
      response.end("moved");
    });
    await new Promise<void>((resolve) => storage.listen(0, "127.0.0.1", resolve));
    const { port } = storage.address() as AddressInfo;
    const proxy = await startFaultProxy(registry.host);
    await push(`${registry.host}/b/moved`);
    const location = `http://localhost:${port}/somewhere`;
    proxy.fault = ({ path, headers }) =>
      path.includes("/blobs/") && headers["authorization"] !== undefined
        ? { status: 307, headers: { location } }
        : undefined;
    await expect(pull(`${proxy.host}/b/moved:1`)).rejects.toMatchObject({ code: "BLOB_CORRUPT" });
    expect(seen).toEqual([undefined]);
    await proxy.stop();
    storage.close();
  });
});

describe("a registry with token authentication", () => {
  let tokens: TokenService;
  let registry: Registry;
  let proxy: FaultProxy;
  beforeAll(async () => {
    tokens = await startTokenService(join(folder, "tokens"));
    registry = await startRegistry(join(folder, "token"), { auth: tokens.auth });
    proxy = await startFaultProxy(registry.host);
  });
  afterAll(async () => {
    await proxy.stop();
    await registry.stop();
    await tokens.stop();
  });

  it("is pushed to with one token, however many blobs there are", async () => {
    tokens.given.length = 0;
    expect((await push(`${registry.host}/t/x`)).uploaded).toHaveLength(3);
    expect(tokens.given).toEqual([{ user: "ada", scopes: ["repository:t/x:pull,push"] }]);
  });

  it("is asked for the right to read where layers are mounted from", async () => {
    await pushImage(await imageOf(`${registry.host}/t/x`), {
      ...quiet,
      repository: `${registry.host}/t/mounted`,
      credentials: ADA,
      cacheDirectory,
    }).then(({ mounted }) => expect(mounted).toHaveLength(3));
    const scopes = ["repository:t/mounted:pull,push", "repository:t/x:pull"];
    expect(tokens.given).toContainEqual({ user: "ada", scopes });
  });

  it("is uploaded to where the right to read the other repository is missing", async () => {
    await push(`${registry.host}/t/private`);
    tokens.denied = "repository:t/private:pull";
    const { mounted, uploaded } = await pushImage(await imageOf(`${registry.host}/t/private`), {
      ...quiet,
      repository: `${registry.host}/t/public`,
      credentials: ADA,
      cacheDirectory,
    });
    tokens.denied = undefined;
    expect(names([...mounted, ...uploaded])).toContain("config");
    expect(names(uploaded)).toContain("code");
  });

  it("gets a new token when one ends in the middle", async () => {
    let refused: unknown;
    proxy.fault = ({ method, headers }) => {
      refused ??= method === "PUT" ? headers["authorization"] : undefined;
      if (refused === undefined || headers["authorization"] !== refused) return undefined;
      const challenge = `Bearer realm="${realm}",service="registry.test",error="invalid_token"`;
      return { status: 401, headers: { "www-authenticate": challenge } };
    };
    const { token } = tokens.auth as { token: { realm: string } };
    const { realm } = token;
    tokens.given.length = 0;
    expect((await push(`${proxy.host}/t/renewed`)).uploaded).toHaveLength(3);
    expect(tokens.given.map(({ scopes }) => scopes)).toEqual([
      ["repository:t/renewed:pull,push"],
      ["repository:t/renewed:pull,push"],
    ]);
  });

  it("takes an identity token in place of a password", async () => {
    configureDocker({ auths: { [registry.host]: { identitytoken: "identity of ada" } } });
    await push(`${registry.host}/t/identity`, { credentials: null });
    expect(tokens.given.at(-1)?.user).toBe("ada, by her token");
  });

  it.each([
    ["wants a login", null],
    ["does not accept the login", EVE],
  ])("%s", async (why, credentials) => {
    await expect(push(`${registry.host}/t/z`, { credentials })).rejects.toMatchObject({
      code: "REGISTRY_UNAUTHORIZED",
      message: expect.stringContaining(why),
    });
  });
});

it("a token service without TLS that is elsewhere gets no login", async () => {
  const registry = createServer((_, response) =>
    response
      .writeHead(401, { "www-authenticate": 'Bearer realm="http://tokens.test/token"' })
      .end(),
  );
  await new Promise<void>((resolve) => registry.listen(0, "127.0.0.1", resolve));
  const host = `127.0.0.1:${(registry.address() as AddressInfo).port}`;
  await expect(push(`${host}/x`)).rejects.toMatchObject({ code: "REGISTRY_UNSAFE" });
  registry.close();
});

it("a registry that sends on to where there is no address is refused", async () => {
  const registry = createServer((request, response) => {
    const location = request.method === "POST" ? "http://[" : undefined;
    const status = request.method === "POST" ? 202 : 404;
    response.writeHead(status, location === undefined ? {} : { location }).end();
  });
  await new Promise<void>((resolve) => registry.listen(0, "127.0.0.1", resolve));
  const host = `127.0.0.1:${(registry.address() as AddressInfo).port}`;
  await expect(push(`${host}/x`)).rejects.toMatchObject({ code: "REGISTRY_UNSAFE" });
  registry.close();
});

describe("a registry with TLS", () => {
  let registry: Registry;
  const pair = makeCertificate(join(folder, "tls"));
  beforeAll(async () => {
    registry = await startRegistry(join(folder, "secure"), { tls: pair });
  });
  afterAll(() => registry.stop());

  it("is not trusted with a certificate that nobody vouches for, and it is said what to do", async () => {
    await expect(push(`${registry.host}/s/x`, { credentials: null })).rejects.toMatchObject({
      code: "REGISTRY_CERTIFICATE",
      message: expect.stringContaining("is self-signed"),
      action: expect.stringContaining("NODE_EXTRA_CA_CERTS"),
      retryable: false,
    });
  });

  it("is pushed to when the certificate is known", async () => {
    const script = `
      import { assembleImage, pushImage } from "@millrace/image";
      const context = { signal: AbortSignal.timeout(30_000), progress: () => {} };
      const cacheDirectory = ${JSON.stringify(join(folder, "secure-cache"))};
      const image = await assembleImage({
        base: { reference: "x.test/x:1", digest: null, platform: { os: "linux", architecture: "amd64" },
          variant: null, config: {}, history: [], layers: [] },
        layers: [{ name: "code", files: [{ path: "a", content: new Uint8Array(10) }] }],
        config: { entrypoint: ["a"], workingDirectory: "/", port: 1, environment: {}, labels: {} },
        cacheDirectory, signal: context.signal,
      });
      const repository = ${JSON.stringify(`${registry.host}/s/y`)};
      const pushed = await pushImage(image, { ...context, repository, credentials: null, cacheDirectory });
      console.log(pushed.uploaded.length);`;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["--input-type=module", "--eval", script],
      { cwd: import.meta.dirname, env: { ...process.env, NODE_EXTRA_CA_CERTS: pair.certificate } },
    );
    expect(stdout.trim()).toBe("2");
  });
});
