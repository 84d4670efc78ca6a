import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Image } from "./image.ts";
import { type PushRequest, pushImage } from "./push.ts";
import { type Registry, startRegistry } from "./registry.fixture.ts";
import { quiet, scratchFolder, text } from "./scratch.fixture.ts";
import { names, imageOf as smallImage } from "./small-image.fixture.ts";

const folder = scratchFolder();
const cacheDirectory = join(folder, "cache");
let registry: Registry;

beforeAll(async () => {
  registry = await startRegistry(join(folder, "registry"));
});
afterAll(() => registry.stop());

const imageOf = (code: string, runtime?: Uint8Array) => smallImage(code, cacheDirectory, runtime);

function push(image: Image, repository: string, over: Partial<PushRequest> = {}) {
  return pushImage(image, {
    ...quiet,
    repository,
    credentials: null,
    cacheDirectory,
    retry: { attempts: 4, firstDelayMs: 5 },
    ...over,
  });
}

describe("an image that is pushed", () => {
  it("is there by digest and by tag, as it was made", async () => {
    const image = await imageOf("by digest");
    const pushed = await push(image, `${registry.host}/a/first`, { tag: "t1" });
    expect(pushed.reference).toBe(`${registry.host}/a/first@${image.manifest?.digest}`);
    for (const name of ["t1", image.manifest?.digest]) {
      const url = `http://${registry.host}/v2/a/first/manifests/${name}`;
      const headers = { accept: "application/vnd.oci.image.manifest.v1+json" };
      const answer = await fetch(url, { headers });
      expect(Buffer.from(await answer.arrayBuffer())).toEqual(
        Buffer.from(image.manifest?.bytes ?? []),
      );
    }
    expect(names(pushed.uploaded)).toEqual(["code", "config", "runtime"]);
  });

  it("sends nothing the second time, and only the code when that has changed", async () => {
    const repository = `${registry.host}/a/twice`;
    const image = await imageOf("twice");
    await push(image, repository, { tag: "latest" });
    const nothing = { uploaded: [], mounted: [], present: [] };
    expect(await push(image, repository, { tag: "latest" })).toMatchObject(nothing);
    expect(await push(image, repository)).toMatchObject(nothing);
    expect(await push(image, repository, { tag: "other" })).toMatchObject(nothing);
    const changed = await push(await imageOf("twice, changed"), repository, { tag: "latest" });
    expect(names(changed.uploaded)).toEqual(["code", "config"]);
    expect(names(changed.present)).toEqual(["runtime"]);
  });

  it("has the layers mounted that another repository of the registry has", async () => {
    const image = await imageOf("mounted", text("a runtime to mount"));
    await push(image, `${registry.host}/a/source`);
    const { mounted, uploaded } = await push(image, `${registry.host}/b/target`);
    expect(names(mounted)).toEqual(["code", "config", "runtime"]);
    expect(uploaded).toEqual([]);
  });
});
