import { join } from "node:path";
import type { EngineImage } from "@millrace/core";
import { describe, expect, it } from "vitest";
import { imageArchive } from "./archive.ts";
import { assembleImage } from "./assemble.ts";
import { engineBase } from "./engine-base.ts";
import type { Image } from "./image.ts";
import { readTar } from "./read-tar.fixture.ts";
import { bytesOf, quiet, scratchFolder, text } from "./scratch.fixture.ts";
import { imageOf } from "./small-image.fixture.ts";

const cacheDirectory = join(scratchFolder(), "cache");
const REFERENCE = "apps.test/weather:1";

const diffIdsOf = ({ layers }: Image) => layers.map(({ diffId }) => diffId);
const pathOf = (digest: string | undefined) => `blobs/${digest?.replace(":", "/")}`;

async function pathsIn(image: Image, present: readonly (readonly string[])[]): Promise<string[]> {
  const archive = await bytesOf(imageArchive(image, { reference: REFERENCE, present }));
  return (await readTar(archive)).map(({ path }) => path).sort();
}

describe("an archive for an engine", () => {
  it("holds the image in both forms that engines read", async () => {
    const image = await imageOf("both", cacheDirectory);
    const archive = await bytesOf(imageArchive(image, { reference: REFERENCE, present: [] }));
    const entries = new Map((await readTar(archive)).map(({ path, content }) => [path, content]));
    const blobs = image.layers.map(({ blob }) => pathOf(blob?.digest));
    expect(JSON.parse(entries.get("manifest.json") ?? "")).toEqual([
      { Config: pathOf(image.config.digest), RepoTags: [REFERENCE], Layers: blobs },
    ]);
    const index: unknown = JSON.parse(entries.get("index.json") ?? "");
    expect(index).toMatchObject({ manifests: [{ digest: image.manifest?.digest }] });
    expect([...entries.keys()].sort()).toEqual(
      [
        ...blobs,
        pathOf(image.config.digest),
        pathOf(image.manifest?.digest),
        "index.json",
        "manifest.json",
        "oci-layout",
      ].sort(),
    );
  });

  it("leaves out the lowest layers that an image of the engine has in the same order", async () => {
    const image = await imageOf("left out", cacheDirectory);
    const [runtime, code] = image.layers;
    const [low = "", high = ""] = diffIdsOf(image);
    const held = async (present: readonly (readonly string[])[]) => {
      const paths = await pathsIn(image, present);
      return [runtime, code].map((layer) => paths.includes(pathOf(layer?.blob?.digest)));
    };
    expect(await held([[low]])).toEqual([false, true]);
    expect(await held([[low, "sha256:other"]])).toEqual([false, true]);
    expect(await held([["sha256:other"], [low, high]])).toEqual([false, false]);
    // A layer is known to an engine only on top of what it lay on there.
    expect(await held([[high]])).toEqual([true, true]);
    expect(await held([["sha256:other", high]])).toEqual([true, true]);
  });

  it("needs the base image's layers only where the engine has lost them", async () => {
    const platform = { os: "linux", architecture: "amd64" } as const;
    const found: EngineImage = {
      ...platform,
      diffIds: [`sha256:${"1".repeat(64)}`, `sha256:${"2".repeat(64)}`],
      config: { Env: ["PATH=/bin"], Cmd: null, Labels: null, Volumes: null },
      content: null,
    };
    const image = await assembleImage({
      base: await engineBase({
        ...quiet,
        reference: "node:24",
        image: found,
        platform,
        cacheDirectory,
      }),
      layers: [{ name: "code", files: [{ path: "a", content: text("a") }] }],
      config: { entrypoint: ["a"], workingDirectory: "/", port: 1, environment: {}, labels: {} },
      cacheDirectory,
      signal: quiet.signal,
    });
    expect(image.manifest).toBeNull();
    expect(await pathsIn(image, [found.diffIds])).toEqual(
      [
        "manifest.json",
        pathOf(image.config.digest),
        pathOf(image.layers.at(-1)?.blob?.digest),
      ].sort(),
    );
    expect(() => imageArchive(image, { reference: REFERENCE, present: [[]] })).toThrow(
      expect.objectContaining({ code: "IMAGE_LAYER_ELSEWHERE" }),
    );
  });
});
