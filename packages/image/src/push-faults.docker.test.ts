import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  type Fault,
  type FaultProxy,
  type Passed,
  startFaultProxy,
} from "./fault-proxy.fixture.ts";
import type { Image } from "./image.ts";
import { type PushRequest, pushImage } from "./push.ts";
import { type Registry, startRegistry } from "./registry.fixture.ts";
import { quiet, scratchFolder } from "./scratch.fixture.ts";
import { names, imageOf as smallImage } from "./small-image.fixture.ts";

const folder = scratchFolder();
const cacheDirectory = join(folder, "cache");
let registry: Registry;
let proxy: FaultProxy;
let count = 0;

beforeAll(async () => {
  registry = await startRegistry(join(folder, "registry"));
  proxy = await startFaultProxy(registry.host);
});
afterEach(() => {
  proxy.fault = () => undefined;
  proxy.passed.length = 0;
});
afterAll(async () => {
  await proxy.stop();
  await registry.stop();
});

const imageOf = (code: string, runtime?: Uint8Array) => smallImage(code, cacheDirectory, runtime);

async function pushThrough(image: Image, over: Partial<PushRequest> = {}) {
  const repository = `faults/${count++}`;
  const pushed = await pushImage(image, {
    ...quiet,
    repository: `${proxy.host}/${repository}`,
    credentials: null,
    cacheDirectory,
    retry: { attempts: 4, firstDelayMs: 5 },
    ...over,
  });
  return { ...pushed, repository };
}

/** What is in the registry is all of the image. */
async function expectWhole(repository: string, image: Image): Promise<void> {
  const there = await pushImage(image, {
    ...quiet,
    repository: `${registry.host}/${repository}`,
    credentials: null,
    cacheDirectory,
  });
  expect([...there.uploaded, ...there.mounted, ...there.present]).toEqual([]);
  for (const { blob } of image.layers) {
    const answer = await fetch(`http://${registry.host}/v2/${repository}/blobs/${blob?.digest}`);
    expect((await answer.arrayBuffer()).byteLength).toBe(blob?.size);
  }
}

/** Each request for which this holds fails so many times. */
function failing(times: number, which: (request: Passed) => boolean, fault: Fault) {
  const failed = new Map<string, number>();
  return (request: Passed) => {
    const key = `${request.method} ${request.path.replace(/\?.*|uploads\/.*/, "")}`;
    const before = failed.get(key) ?? 0;
    if (before >= times || !which(request)) return undefined;
    failed.set(key, before + 1);
    return fault;
  };
}

describe("a push", () => {
  it.each([
    ["answers 429", { status: 429, headers: { "retry-after": "0" } }],
    ["answers 500", { status: 500 }],
    ["answers 503", { status: 503 }],
    ["hangs up", { cutRequestAfter: 0 }],
    ["hangs up before its answer", { cutAnswerAfter: 0 }],
  ] as const)("gets through when the registry %s now and then", async (_, fault) => {
    const image = await imageOf(`now and then ${count}`);
    proxy.fault = failing(1, ({ method }) => method !== "GET", fault);
    const { repository, uploaded } = await pushThrough(image);
    expect(names(uploaded)).toContain("config");
    await expectWhole(repository, image);
  });

  it.each([
    [429, "REGISTRY_THROTTLED", true],
    [500, "REGISTRY_FAILED", true],
    [403, "REGISTRY_DENIED", false],
    [405, "REGISTRY_REFUSED", false],
  ] as const)("ends when the registry goes on to answer %i", async (status, code, retryable) => {
    proxy.fault = ({ method }) => (method === "POST" ? { status } : undefined);
    const pushing = pushThrough(await imageOf(`goes on ${count}`));
    await expect(pushing).rejects.toMatchObject({ code, retryable });
    const posts = proxy.passed.filter(({ method }) => method === "POST");
    if (!retryable) expect(new Set(posts.map(({ path }) => path)).size).toBe(posts.length);
  });

  it("ends when the registry does not take a layer, however often that is sent", async () => {
    proxy.fault = ({ method }) => (method === "PUT" ? { status: 400, body: "bad" } : undefined);
    const retry = { attempts: Number.POSITIVE_INFINITY, firstDelayMs: 1 };
    await expect(pushThrough(await imageOf("not taken"), { retry })).rejects.toMatchObject({
      code: "REGISTRY_REFUSED",
      retryable: false,
      message: expect.stringContaining("bad"),
    });
  });

  it("says at once that a repository has to be created first", async () => {
    const body = JSON.stringify({ errors: [{ code: "NAME_UNKNOWN", message: "no such name" }] });
    proxy.fault = ({ method }) => (method === "POST" ? { status: 404, body } : undefined);
    await expect(pushThrough(await imageOf("no repository"))).rejects.toMatchObject({
      code: "REGISTRY_NO_REPOSITORY",
      class: "not_found",
    });
    expect(proxy.passed.filter(({ method }) => method === "POST").length).toBeLessThanOrEqual(3);
  });

  it("waits no longer than a minute because a registry asks for it", async () => {
    proxy.fault = () => ({ status: 429, headers: { "retry-after": "3600" } });
    await expect(pushThrough(await imageOf("patience"))).rejects.toMatchObject({
      code: "REGISTRY_THROTTLED",
      retryAfterMs: 3_600_000,
    });
    expect(proxy.passed.filter(({ method }) => method === "HEAD")).toHaveLength(1);
  });

  it("brings a layer over whose upload was cut in the middle", async () => {
    const image = await imageOf("cut", randomBytes(3_000_000));
    const large = ({ headers }: Passed) => Number(headers["content-length"]) > 1_000_000;
    proxy.fault = failing(2, large, { cutRequestAfter: 1_000_000 });
    const { repository } = await pushThrough(image);
    const uploads = proxy.passed.filter(large);
    expect(uploads.map(({ bytes }) => bytes)).toEqual([1_000_000, 1_000_000, expect.any(Number)]);
    await expectWhole(repository, image);
  });

  it("does not send a layer again whose upload succeeded without an answer", async () => {
    const image = await imageOf("no answer", randomBytes(2_000_000));
    const large = ({ headers }: Passed) => Number(headers["content-length"]) > 1_000_000;
    proxy.fault = failing(1, large, { cutAnswerAfter: 0 });
    const { repository } = await pushThrough(image);
    expect(proxy.passed.filter(large)).toHaveLength(1);
    await expectWhole(repository, image);
  });

  it("ends at once when it is aborted", async () => {
    const stop = new AbortController();
    const reason = new Error("enough");
    proxy.fault = ({ method }) => {
      if (method === "PUT") stop.abort(reason);
      return undefined;
    };
    const image = await imageOf("aborted", randomBytes(2_000_000));
    await expect(pushThrough(image, { signal: stop.signal })).rejects.toBe(reason);
  });

  it("that fails with one layer gives up the others", async () => {
    const under = Promise.withResolvers<void>();
    const givenUp = Promise.withResolvers<void>();
    proxy.fault = ({ method, headers }) => {
      if (method !== "PUT") return undefined;
      if (Number(headers["content-length"]) < 1_000_000)
        return under.promise.then(() => ({ status: 403 }));
      under.resolve();
      return { givenUp: givenUp.resolve };
    };
    const image = await imageOf("given up", randomBytes(2_000_000));
    await expect(pushThrough(image)).rejects.toMatchObject({ code: "REGISTRY_DENIED" });
    await givenUp.promise;
  });

  it("ends at once when it is aborted while it waits, with what it waited for", async () => {
    const stop = new AbortController();
    proxy.fault = () => ({ status: 503, headers: { "retry-after": "50" } });
    const progress = () => stop.abort();
    const pushing = pushThrough(await imageOf("aborted while waiting"), {
      signal: stop.signal,
      progress,
    });
    await expect(pushing).rejects.toMatchObject({ code: "REGISTRY_FAILED", retryAfterMs: 50_000 });
  });

  it("names a registry that does not answer", async () => {
    const gone = await startFaultProxy(registry.host);
    await gone.stop();
    const repository = `${gone.host}/x`;
    await expect(pushThrough(await imageOf("gone"), { repository })).rejects.toMatchObject({
      code: "REGISTRY_UNREACHABLE",
      class: "unreachable",
      retryable: true,
      message: expect.stringContaining("ECONNREFUSED"),
    });
  });

  it("is known to be there by its bytes where the registry names no digest", async () => {
    const image = await imageOf("unnamed");
    const repository = `${proxy.host}/unnamed`;
    proxy.answerHeaders = { "docker-content-digest": "none" };
    const push = () => pushThrough(image, { repository, tag: "1" });
    expect(names((await push()).uploaded)).toContain("code");
    expect(await push()).toMatchObject({ uploaded: [], mounted: [], present: [] });
    proxy.answerHeaders = {};
    await expectWhole("unnamed", image);
  });

  it("sends a layer that is there with another size", async () => {
    const image = await imageOf("other size");
    const repository = `${proxy.host}/other-size`;
    proxy.fault = ({ method, path }) =>
      method === "HEAD" && path.includes("/blobs/")
        ? { status: 200, headers: { "content-length": "7" } }
        : undefined;
    expect((await pushThrough(image, { repository })).present).toEqual([]);
    await expectWhole("other-size", image);
  });

  it("takes no answer for good that names another digest", async () => {
    const headers = { "docker-content-digest": `sha256:${"0".repeat(64)}` };
    proxy.fault = ({ method, path }) =>
      method === "PUT" && path.includes("/manifests/") ? { status: 201, headers } : undefined;
    await expect(pushThrough(await imageOf("other digest"))).rejects.toMatchObject({
      code: "BLOB_CORRUPT",
    });
  });
});
