import { randomUUID } from "node:crypto";
import { existsSync, globSync, readFileSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { text } from "node:stream/consumers";
import Docker from "dockerode";
import { afterEach, describe, expect, it } from "vitest";
import { BASE_IMAGE } from "./base-image.ts";
import { findEngine } from "./engine.ts";
import { LOGIN, startRegistry } from "./registry.ts";
import { startRegistryFaults } from "./registry-faults.ts";

const docker = new Docker({ socketPath: (await findEngine()) ?? "none" });
const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

function stopped<T extends { stop(): Promise<void> }>(thing: T): T {
  stops.push(() => thing.stop());
  return thing;
}

const registryOf = async (...kind: Parameters<typeof startRegistry>) =>
  stopped(await startRegistry(...kind));
const faultsOf = async (host: string) => stopped(await startRegistryFaults(host));

/** An image of a few bytes; a new one each time. */
async function smallImage(repository: string): Promise<Docker.Image> {
  const container = await docker.createContainer({
    Image: BASE_IMAGE,
    Cmd: ["node", "-e", `fs.writeFileSync("/new", ${JSON.stringify(randomUUID())})`],
  });
  await container.start();
  await container.wait();
  await container.commit({ repo: repository, tag: "1" });
  await container.remove();
  const image = docker.getImage(`${repository}:1`);
  stops.push(() => image.remove());
  return image;
}

interface Login {
  readonly username: string;
  readonly password: string;
}

/** In the words of either image store that engines have. */
const PUSHED = /"Digest":"sha256:|digest: sha256:/;
const DENIED = /no basic auth credentials|unauthorized|denied|failed to authorize/i;

/** What the engine says of a push, to its end. */
async function push(image: Docker.Image, login?: Login): Promise<string> {
  return text(await image.push({ authconfig: { username: "", password: "", ...login } }));
}

async function pull(reference: string): Promise<string> {
  return text(await docker.pull(reference));
}

describe("a registry", () => {
  it("takes an image from the engine and gives it back", async () => {
    const { host } = await registryOf();
    const image = await smallImage(`${host}/app`);
    expect(await push(image)).toMatch(PUSHED);
    await image.remove();
    expect(await pull(`${host}/app:1`)).toContain("Downloaded newer image");
  });

  it.each(["basic", "token"] as const)("of the kind %s lets in who has a login", async (kind) => {
    const { host, tokens } = await registryOf(kind);
    const image = await smallImage(`${host}/app`);
    expect(await push(image)).toMatch(DENIED);
    const wrong = { ...LOGIN, password: "wrong" };
    expect(await push(image, wrong)).toMatch(DENIED);
    expect(await push(image, LOGIN)).toMatch(PUSHED);
    if (kind === "token")
      expect(tokens).toContainEqual({
        user: "ada",
        scopes: expect.arrayContaining([expect.stringMatching(/^repository:app:.*push/)]),
      });
  });

  it("of the kind tls shows a certificate that only those trust who were given it", async () => {
    const { host, certificate = "" } = await registryOf("tls");
    const ask = (ca?: Buffer): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        request(`https://${host}/v2/`, ca === undefined ? {} : { ca }, (answer) => {
          answer.resume();
          resolve(answer.statusCode);
        })
          .on("error", reject)
          .end();
      });
    await expect(ask()).rejects.toThrow(/self-signed/);
    expect(await ask(readFileSync(certificate))).toBe(200);
  });

  it("leaves nothing behind", async () => {
    const folders = () => globSync("millrace-registry-*", { cwd: tmpdir() });
    const before = new Set(folders());
    const registry = await startRegistry("tls");
    const made = folders().filter((folder) => !before.has(folder));
    expect(existsSync(registry.certificate ?? "")).toBe(true);
    await registry.stop();
    expect(folders()).not.toEqual(expect.arrayContaining(made));
    await expect(fetch(`http://${registry.host}/v2/`)).rejects.toThrow();
  });
});

describe("a registry behind faults", () => {
  const upload = async (host: string, content: string, repository = "a") => {
    const opened = await fetch(`http://${host}/v2/${repository}/blobs/uploads/`, {
      method: "POST",
    });
    const place = opened.headers.get("location") ?? "";
    const headers = { "content-type": "application/octet-stream" };
    return fetch(place, { method: "PATCH", body: content, headers });
  };

  it.each([
    ["unauthorized", 401, "www-authenticate"],
    ["throttled", 429, "retry-after"],
    ["broken", 500, "content-length"],
  ] as const)("is %s as often as it is told to", async (fault, status, header) => {
    const { host, fail } = await faultsOf((await registryOf()).host);
    fail(fault, 2);
    const answers = [];
    for (let n = 0; n < 3; n++) answers.push(await fetch(`http://${host}/v2/`));
    expect(answers.map((answer) => answer.status)).toEqual([status, status, 200]);
    if (header !== "content-length") expect(answers[0]?.headers.get(header)).not.toBeNull();
  });

  it("hangs up in the middle of a layer, and leaves other requests alone", async () => {
    const { host, fail, traffic } = await faultsOf((await registryOf()).host);
    fail("cut", 1);
    expect((await fetch(`http://${host}/v2/`)).status).toBe(200);
    await expect(upload(host, "x".repeat(10_000))).rejects.toThrow();
    expect(traffic()).toMatchObject({ bytes: 5_000, uploads: 0 });
    expect((await upload(host, "x".repeat(10_000))).status).toBe(202);
    expect(traffic().bytes).toBe(15_000);
  });

  it("hangs up in the middle of a layer on its way down, and leaves its manifest alone", async () => {
    const faults = await faultsOf((await registryOf()).host);
    const image = await smallImage(`${faults.host}/first`);
    await push(image);
    const blob = faults
      .traffic()
      .requests.find(({ method, path }) => method === "HEAD" && path.includes("/blobs/sha256:"));
    const fetchBlob = async () => (await fetch(`http://${faults.host}${blob?.path}`)).bytes();
    faults.fail("cut", 1);
    expect((await fetch(`http://${faults.host}/v2/first/tags/list`)).status).toBe(200);
    await expect(fetchBlob()).rejects.toThrow();
    expect((await fetchBlob()).length).toBeGreaterThan(0);
  });

  it("counts blobs and bytes: all at first, what another repository has as mounts, nothing again", async () => {
    const faults = await faultsOf((await registryOf()).host);
    const image = await smallImage(`${faults.host}/first`);
    expect(await push(image)).toMatch(PUSHED);
    const cold = faults.traffic();
    // The base, the new layer and the configuration.
    expect(cold).toMatchObject({ uploads: 3, mounts: 0 });
    expect(cold.bytes).toBeGreaterThan(10_000_000);
    faults.forget();
    await push(image);
    expect(faults.traffic()).toMatchObject({ uploads: 0, bytes: 0 });
    expect(faults.traffic().heads).toBeGreaterThan(0);
    faults.forget();
    await image.tag({ repo: `${faults.host}/second`, tag: "1" });
    const second = docker.getImage(`${faults.host}/second:1`);
    stops.push(() => second.remove());
    await push(second);
    const { mounts, uploads } = faults.traffic();
    expect(mounts + uploads).toBe(3);
    // Engines with containerd's image store mount the configuration too.
    expect(mounts).toBeGreaterThanOrEqual(2);
  });
});
