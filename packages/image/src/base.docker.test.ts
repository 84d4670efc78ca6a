import { randomBytes } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ImagePlatform } from "@millrace/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { assembleImage } from "./assemble.ts";
import { type BaseRequest, resolveBase } from "./base.ts";
import { sha256 } from "./digest.ts";
import { type Fault, type Passed, startFaultProxy } from "./fault-proxy.fixture.ts";
import type { BaseImage, Blob, Image } from "./image.ts";
import { OCI_INDEX, OCI_MANIFEST } from "./media-types.ts";
import { pushImage } from "./push.ts";
import { type Registry, startRegistry } from "./registry.fixture.ts";
import { bytesOf, EMPTY_BASE, quiet, scratchFolder, text } from "./scratch.fixture.ts";
import { imageOf } from "./small-image.fixture.ts";

const AMD64: ImagePlatform = { os: "linux", architecture: "amd64" };
const ARM64: ImagePlatform = { os: "linux", architecture: "arm64" };

const folder = scratchFolder();
let caches = 0;
const freshCache = () => join(folder, `cache-${caches++}`);
let registry: Registry;

beforeAll(async () => {
  registry = await startRegistry(join(folder, "registry"));
});
afterAll(() => registry.stop());

const retry = { attempts: 2, firstDelayMs: 1 };

/** A small image that others can be made on, in the registry. */
async function givenBase(repository: string, platform = AMD64, tag = "24"): Promise<Image> {
  const cacheDirectory = freshCache();
  const image = await assembleImage({
    base: { ...EMPTY_BASE, platform },
    layers: [
      {
        name: "runtime",
        files: [
          { path: "bin/node", content: text(`node for ${platform.architecture} in ${repository}`) },
        ],
      },
    ],
    config: {
      entrypoint: ["/bin/node"],
      workingDirectory: "/",
      port: 80,
      environment: { PATH: "/bin", NODE_VERSION: "24" },
      labels: {},
    },
    cacheDirectory,
    signal: quiet.signal,
  });
  await pushImage(image, {
    ...quiet,
    repository: `${registry.host}/${repository}`,
    tag,
    credentials: null,
    cacheDirectory,
  });
  return image;
}

/** The lowest layer's bytes. */
function blobOf({ layers }: Pick<Image, "layers">): Blob {
  const blob = layers[0]?.blob;
  if (blob === undefined || blob === null) throw new Error("There is no layer to be had.");
  return blob;
}

function resolve(reference: string, over: Partial<BaseRequest> = {}): Promise<BaseImage> {
  return resolveBase({
    ...quiet,
    reference: `${registry.host}/${reference}`,
    platform: AMD64,
    cacheDirectory: freshCache(),
    retry,
    ...over,
  });
}

/** What goes wrong with requests for a manifest. */
function onManifest(fault: Fault) {
  let times = 1;
  return ({ method, path }: Passed) =>
    method === "GET" && path.includes("/manifests/") && times-- > 0 ? fault : undefined;
}

async function putIndex(
  repository: string,
  tag: string,
  images: readonly (Image & { readonly variant?: string; readonly unnamed?: true })[],
): Promise<void> {
  const descriptors = images.map(({ manifest, platform, variant, unnamed }) => ({
    mediaType: OCI_MANIFEST,
    digest: manifest?.digest,
    size: manifest?.bytes.length,
    ...(unnamed ? {} : { platform: variant === undefined ? platform : { ...platform, variant } }),
  }));
  const attestation = { ...descriptors[0], platform: { os: "unknown", architecture: "unknown" } };
  const answer = await fetch(`http://${registry.host}/v2/${repository}/manifests/${tag}`, {
    method: "PUT",
    headers: { "content-type": OCI_INDEX },
    body: JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_INDEX,
      manifests: [attestation, ...descriptors],
    }),
  });
  expect(answer.status).toBe(201);
}

function appOn(base: BaseImage, cacheDirectory: string): Promise<Image> {
  return assembleImage({
    base,
    layers: [{ name: "code", files: [{ path: "app/a.js", content: text("1") }] }],
    config: {
      entrypoint: ["node", "/app/a.js"],
      workingDirectory: "/app",
      port: 8080,
      environment: {},
      labels: {},
    },
    cacheDirectory,
    signal: quiet.signal,
  });
}

describe("a base image", () => {
  it("is found by tag and by digest, with its settings and its layers", async () => {
    const image = await givenBase("base/node");
    for (const name of ["base/node:24", `base/node@${image.manifest?.digest}`]) {
      const base = await resolve(name);
      expect(base).toMatchObject({ digest: image.manifest?.digest, platform: AMD64 });
      expect(base.config).toMatchObject({ Env: ["NODE_VERSION=24", "PATH=/bin"] });
      expect(base.layers.map(({ diffId }) => diffId)).toEqual(
        image.layers.map(({ diffId }) => diffId),
      );
      const ours = await bytesOf(blobOf(image).open());
      expect(await bytesOf(blobOf(base).open(7))).toEqual(ours.subarray(7));
      expect(await bytesOf(blobOf(base).open())).toEqual(ours);
    }
  });

  it("is taken from an index for the platform that is asked for", async () => {
    const amd64 = await givenBase("base/multi", AMD64, "amd64");
    const arm64 = await givenBase("base/multi", ARM64, "arm64");
    await putIndex("base/multi", "all", [amd64, arm64]);
    expect(await resolve("base/multi:all")).toMatchObject({ digest: amd64.manifest?.digest });
    expect(await resolve("base/multi:all", { platform: ARM64 })).toMatchObject({
      digest: arm64.manifest?.digest,
      platform: ARM64,
    });
  });

  it("is the one of an index that every processor of the platform runs", async () => {
    const v3 = { ...(await givenBase("base/variants", AMD64, "v3")), variant: "v3" };
    const cacheDirectory = freshCache();
    const plain = await appOn(await resolve("base/variants:v3"), cacheDirectory);
    const repository = `${registry.host}/base/variants`;
    await pushImage(plain, { ...quiet, repository, credentials: null, cacheDirectory });
    await putIndex("base/variants", "all", [v3, plain]);
    expect(await resolve("base/variants:all")).toMatchObject({ digest: plain.manifest?.digest });
  });

  it("is the only one of an index that does not say what it is for, when it is for the platform", async () => {
    const amd64 = await givenBase("base/unnamed", AMD64, "amd64");
    await putIndex("base/unnamed", "all", [{ ...amd64, unnamed: true }]);
    expect(await resolve("base/unnamed:all")).toMatchObject({ digest: amd64.manifest?.digest });
    await expect(resolve("base/unnamed:all", { platform: ARM64 })).rejects.toMatchObject({
      code: "IMAGE_PLATFORM",
      message: expect.stringContaining("is for linux/amd64, and linux/arm64 is needed"),
    });
  });

  it.each([
    [
      "application/vnd.docker.distribution.manifest.v1+prettyjws",
      { schemaVersion: 1, signatures: [] },
    ],
    ["application/json", { schemaVersion: 1, name: "x", fsLayers: [] }],
  ])("in Docker's old format is refused for that: %s", async (type, manifest) => {
    await givenBase("base/old");
    const proxy = await startFaultProxy(registry.host);
    const body = JSON.stringify(manifest);
    const headers = { "content-type": type, "docker-content-digest": sha256(body) };
    proxy.fault = ({ method, path }) =>
      path.includes("/manifests/")
        ? { status: 200, headers, ...(method === "HEAD" ? {} : { body }) }
        : undefined;
    await expect(resolve("", { reference: `${proxy.host}/base/old:24` })).rejects.toMatchObject({
      code: "IMAGE_UNSUPPORTED",
      message: expect.stringContaining("the format that Docker gave up in 2017"),
    });
    await proxy.stop();
  });

  it("whose index lists what the registry does not have is called incomplete, and not missing", async () => {
    const amd64 = await givenBase("base/dangling", AMD64, "amd64");
    await putIndex("base/dangling", "all", [amd64]);
    const proxy = await startFaultProxy(registry.host);
    const missing = amd64.manifest?.digest ?? "";
    proxy.fault = ({ path }) => (path.endsWith(missing) ? { status: 404 } : undefined);
    const reference = `${proxy.host}/base/dangling:all`;
    await expect(resolve("", { reference })).rejects.toMatchObject({
      code: "BLOB_MISSING",
      message: `The registry ${proxy.host} lists the manifest ${missing} in ${reference} and does not have it.`,
    });
    await proxy.stop();
  });

  it("has its manifest read again when the connection is cut in the middle", async () => {
    const image = await givenBase("base/manifest-cut");
    const proxy = await startFaultProxy(registry.host);
    proxy.fault = onManifest({ cutAnswerAfter: 100 });
    const base = await resolve("", { reference: `${proxy.host}/base/manifest-cut:24` });
    expect(base.digest).toBe(image.manifest?.digest);
    await proxy.stop();
  });

  it("whose manifest names a wrong size is refused for that", async () => {
    const image = await givenBase("base/sizes");
    const proxy = await startFaultProxy(registry.host);
    const size = image.config.bytes.length;
    for (const [wrong, came] of [
      [size - 1, `more than ${size - 1}`],
      [size + 1, String(size)],
    ] as const) {
      const text = Buffer.from(image.manifest?.bytes ?? []).toString();
      const body = text.replace(`"size":${size}`, `"size":${wrong}`);
      const headers = { "docker-content-digest": sha256(body) };
      proxy.fault = ({ method, path }) =>
        path.includes("/manifests/")
          ? { status: 200, headers, ...(method === "HEAD" ? {} : { body }) }
          : undefined;
      const reference = `${proxy.host}/base/sizes:24`;
      await expect(resolve("", { reference })).rejects.toMatchObject({
        code: "BLOB_CORRUPT",
        message: expect.stringContaining(`${wrong} bytes was meant, ${came} bytes came`),
      });
    }
    await proxy.stop();
  });

  it("that is not there for the platform is refused with what there is", async () => {
    const arm64 = await givenBase("base/arm", ARM64);
    await expect(resolve("base/arm:24")).rejects.toMatchObject({
      code: "IMAGE_PLATFORM",
      message: expect.stringContaining("is for linux/arm64, and linux/amd64 is needed"),
    });
    await putIndex("base/arm", "index", [arm64]);
    await expect(resolve("base/arm:index")).rejects.toMatchObject({
      code: "IMAGE_PLATFORM",
      details: expect.objectContaining({ available: ["linux/arm64"] }),
    });
  });

  it.each(["base/none:1", `base/none@sha256:${"0".repeat(64)}`])(
    "that is missing is named: %s",
    async (name) => {
      await expect(resolve(name)).rejects.toMatchObject({
        code: "IMAGE_NOT_FOUND",
        class: "not_found",
        message: expect.stringContaining(name),
      });
    },
  );

  it("is what its tag named last while its registry is away", async () => {
    const other = await startRegistry(join(folder, "leaving"));
    const cacheDirectory = freshCache();
    const image = await assembleImage({
      base: EMPTY_BASE,
      layers: [{ name: "code", files: [{ path: "a", content: text("a") }] }],
      config: { entrypoint: ["a"], workingDirectory: "/", port: 1, environment: {}, labels: {} },
      cacheDirectory: freshCache(),
      signal: quiet.signal,
    });
    const repository = `${other.host}/gone`;
    await pushImage(image, { ...quiet, repository, tag: "1", credentials: null, cacheDirectory });
    const request = { reference: `${repository}:1`, cacheDirectory };
    await resolve("", request);
    await other.stop();
    const said: string[] = [];
    const base = await resolve("", { ...request, progress: (line) => said.push(line) });
    expect(base.digest).toBe(image.manifest?.digest);
    expect(said).toEqual([expect.stringContaining("when it was last looked up")]);
    await expect(resolve("", { ...request, reference: `${repository}:2` })).rejects.toMatchObject({
      code: "REGISTRY_UNREACHABLE",
      retryable: true,
    });
  });

  it("is found where the registry says nothing of use about digests", async () => {
    const image = await givenBase("base/undigested");
    for (const digest of ["sha256:../../../../etc/passwd", `sha512:${"0".repeat(128)}`]) {
      const proxy = await startFaultProxy(registry.host);
      proxy.answerHeaders = { "docker-content-digest": digest };
      const base = await resolve("", { reference: `${proxy.host}/base/undigested:24` });
      expect(base.digest).toBe(image.manifest?.digest);
      await proxy.stop();
    }
  });

  it("has its layers read to the end when the connection is cut in the middle", async () => {
    const image = await imageOf("cut", freshCache(), randomBytes(3_000_000));
    const cacheDirectory = freshCache();
    await pushImage(image, {
      ...quiet,
      repository: `${registry.host}/base/cut`,
      tag: "1",
      credentials: null,
      cacheDirectory,
    });
    const proxy = await startFaultProxy(registry.host);
    const base = await resolve("", { reference: `${proxy.host}/base/cut:1`, cacheDirectory });
    let cuts = 3;
    proxy.fault = () => (cuts-- > 0 ? { cutAnswerAfter: 500_000 } : undefined);
    proxy.passed.length = 0;
    const bytes = await bytesOf(blobOf(base).open());
    expect(bytes).toEqual(await bytesOf(blobOf(image).open()));
    const ranges = proxy.passed.map(({ headers }) => headers["range"]);
    expect(ranges[0]).toBeUndefined();
    expect(ranges.slice(1)).toEqual(
      Array.from({ length: 3 }, () => expect.stringMatching(/^bytes=[1-9]/)),
    );
    await proxy.stop();
  });

  it("that has other bytes than its digest says is not taken", async () => {
    await givenBase("base/corrupt");
    const base = await resolve("base/corrupt:24");
    const { digest, size } = blobOf(base);
    writeFileSync(registry.blobFile(digest), Buffer.alloc(size, 1));
    await expect(bytesOf(blobOf(base).open())).rejects.toMatchObject({ code: "BLOB_CORRUPT" });
    const read: Uint8Array[] = [];
    const reading = async () => {
      for await (const chunk of blobOf(base).open()) read.push(chunk);
    };
    await expect(reading()).rejects.toMatchObject({ code: "BLOB_CORRUPT" });
    // Who passes it on must not have passed on all of it.
    expect(Buffer.concat(read).length).toBeLessThan(size);
    const other = await startRegistry(join(folder, "uncorrupted"));
    const cacheDirectory = freshCache();
    const app = await appOn(base, cacheDirectory);
    const to = { ...quiet, credentials: null, cacheDirectory, repository: `${other.host}/app` };
    await expect(pushImage(app, to)).rejects.toMatchObject({
      code: "BLOB_CORRUPT",
      message: expect.stringContaining(registry.host),
    });
    await other.stop();
    rmSync(registry.blobFile(digest));
    await expect(bytesOf(blobOf(base).open())).rejects.toMatchObject({ code: "BLOB_MISSING" });
  });

  it("has its layers sent on to another registry, and kept for the next time", async () => {
    await givenBase("base/moved");
    const other = await startRegistry(join(folder, "target"));
    const cacheDirectory = freshCache();
    const base = await resolve("base/moved:24", { cacheDirectory });
    const app = await appOn(base, cacheDirectory);
    const to = { ...quiet, credentials: null, cacheDirectory, repository: `${other.host}/app` };
    const { uploaded } = await pushImage(app, to);
    expect(uploaded.map(({ name }) => name).sort()).toEqual(["base", "code", "config"]);
    const found = await resolve("", { reference: `${other.host}/app@${app.manifest?.digest}` });
    expect(found.layers.map(({ diffId }) => diffId)).toEqual(
      app.layers.map(({ diffId }) => diffId),
    );
    await other.stop();
    rmSync(registry.blobFile(blobOf(base).digest));
    expect(await bytesOf(blobOf(base).open())).toHaveLength(blobOf(base).size);
  });

  it("has its layers mounted when it is in the registry that is pushed to", async () => {
    await givenBase("base/near");
    const cacheDirectory = freshCache();
    const app = await appOn(await resolve("base/near:24", { cacheDirectory }), cacheDirectory);
    const to = { ...quiet, credentials: null, cacheDirectory, repository: `${registry.host}/app` };
    const { mounted } = await pushImage(app, to);
    expect(mounted.map(({ name }) => name)).toEqual(["base"]);
  });
});
