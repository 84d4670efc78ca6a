import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { EngineImage, ImagePlatform } from "@millrace/core";
import { describe, expect, it } from "vitest";
import { imageArchive } from "./archive.ts";
import { engineBase } from "./engine-base.ts";
import type { Blob, Image } from "./image.ts";
import { bytesOf, quiet, scratchFolder } from "./scratch.fixture.ts";
import { imageOf } from "./small-image.fixture.ts";

const AMD64: ImagePlatform = { os: "linux", architecture: "amd64" };
const folder = scratchFolder();
let caches = 0;
const freshCache = () => join(folder, `cache-${caches++}`);

/** What an engine with containerd's image store says of an image that it has; `saved` counts how often it gave it out. */
function inEngine(image: Image, present: readonly string[] = []) {
  const digest = image.manifest?.digest ?? "";
  const saved = { times: 0 };
  const found: EngineImage = {
    ...AMD64,
    diffIds: image.layers.map(({ diffId }) => diffId),
    config: {},
    content: {
      digest,
      save: () => {
        saved.times++;
        return imageArchive(image, { reference: "base:1", present: [present] });
      },
    },
  };
  return { found, saved };
}

function baseOf(image: EngineImage, cacheDirectory: string, platform = AMD64) {
  return engineBase({ ...quiet, reference: "base:1", image, platform, cacheDirectory });
}

describe("a base image of an engine", () => {
  it("keeps its layers there, where the engine keeps layers only", async () => {
    const diffIds = [`sha256:${"1".repeat(64)}`];
    const config = { Env: ["PATH=/bin"] };
    const base = await baseOf({ ...AMD64, diffIds, config, content: null }, freshCache());
    expect(base).toMatchObject({ reference: "docker.io/library/base:1", digest: null, config });
    expect(base.layers).toEqual([{ name: "base", diffId: diffIds[0], blob: null }]);
  });

  it("is refused for another platform", async () => {
    const image = { os: "linux", architecture: "arm64", diffIds: [], config: {}, content: null };
    await expect(baseOf(image, freshCache())).rejects.toThrow(
      "docker.io/library/base:1 is for linux/arm64, and linux/amd64 is needed",
    );
    const { found } = inEngine(await imageOf("platform", freshCache()));
    await expect(
      baseOf(found, freshCache(), { os: "linux", architecture: "arm64" }),
    ).rejects.toMatchObject({ code: "IMAGE_PLATFORM" });
  });

  it("is read whole, once, where the engine keeps images as registries do", async () => {
    const image = await imageOf("whole", freshCache());
    const { found, saved } = inEngine(image);
    const cacheDirectory = freshCache();
    const base = await baseOf(found, cacheDirectory);
    expect(base.digest).toBe(image.manifest?.digest);
    expect(base.layers.map(({ diffId }) => diffId)).toEqual(found.diffIds);
    for (const [index, { blob }] of base.layers.entries()) {
      expect(await bytesIn(blob)).toEqual(await bytesIn(image.layers[index]?.blob));
    }
    await baseOf(found, cacheDirectory);
    expect(saved.times).toBe(1);
  });

  it.each([512, 2048, 1_000_000])(
    "is read whole when the engine gives its archive in pieces of %i bytes",
    async (size) => {
      const image = await imageOf("in pieces", freshCache());
      const { found } = inEngine(image);
      const archive = await bytesOf(imageArchive(image, { reference: "base:1", present: [] }));
      async function* save() {
        for (let at = 0; at < archive.length; at += size) yield archive.subarray(at, at + size);
      }
      const content = { digest: image.manifest?.digest ?? "", save };
      const base = await baseOf({ ...found, content }, freshCache());
      for (const [index, { blob }] of base.layers.entries())
        expect(await bytesIn(blob)).toEqual(await bytesIn(image.layers[index]?.blob));
    },
  );

  it("is read again when the cache has lost a part of it", async () => {
    const { found, saved } = inEngine(await imageOf("lost", freshCache()));
    const cacheDirectory = freshCache();
    await baseOf(found, cacheDirectory);
    const blobs = join(cacheDirectory, "blobs", "sha256");
    for (const name of readdirSync(blobs)) {
      rmSync(join(blobs, name));
      const base = await baseOf(found, cacheDirectory);
      for (const { blob } of base.layers) await bytesIn(blob);
    }
    expect(saved.times).toBe(1 + readdirSync(blobs).length);
  });

  it("is refused when the engine itself has only a part of it", async () => {
    const image = await imageOf("part", freshCache());
    const { found } = inEngine(image, lowestOf(image));
    await expect(baseOf(found, freshCache())).rejects.toMatchObject({
      code: "IMAGE_INCOMPLETE",
      class: "platform",
      message: expect.stringContaining(image.layers[0]?.blob?.digest ?? "no digest"),
    });
  });
});

function bytesIn(blob: Blob | null | undefined): Promise<Buffer> {
  if (blob == null) throw new Error("There is no layer to be had.");
  return bytesOf(blob.open());
}

/** The lowest layer, which is then left out. */
function lowestOf({ layers }: Image): readonly string[] {
  return layers.slice(0, 1).map(({ diffId }) => diffId);
}
