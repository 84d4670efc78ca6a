import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { imageArchive } from "./archive.ts";
import { assembleImage } from "./assemble.ts";
import { askEngine } from "./engine.fixture.ts";
import { engineBase } from "./engine-base.ts";
import type { Image } from "./image.ts";
import { quiet, scratchFolder, text } from "./scratch.fixture.ts";
import { imageOf } from "./small-image.fixture.ts";

const cacheDirectory = join(scratchFolder(), "cache");
const run = Date.now();
const loaded: string[] = [];

const inspectedSchema = z.looseObject({
  Id: z.string(),
  Os: z.string(),
  Architecture: z.string(),
  RootFS: z.looseObject({ Layers: z.array(z.string()) }),
  Config: z.record(z.string(), z.json()),
});

async function load(image: Image, reference: string, present: readonly (readonly string[])[] = []) {
  loaded.push(reference);
  let bytes = 0;
  async function* counted() {
    for await (const chunk of imageArchive(image, { reference, present })) {
      bytes += chunk.length;
      yield chunk;
    }
  }
  const { text } = await askEngine("POST", "/images/load", counted());
  return { bytes, text };
}

async function inspect(reference: string) {
  const { text } = await askEngine("GET", `/images/${encodeURIComponent(reference)}/json`);
  return inspectedSchema.parse(JSON.parse(text));
}

afterAll(async () => {
  for (const reference of loaded)
    await askEngine("DELETE", `/images/${encodeURIComponent(reference)}?force=true`);
});

describe("a Docker engine", () => {
  it("takes an image, and gives it the digest of its configuration as id", async () => {
    const image = await imageOf(`whole ${run}`, cacheDirectory);
    const reference = `millrace-test/whole:${run}`;
    await load(image, reference);
    const found = await inspect(reference);
    expect(found.Id).toBe(image.config.digest);
    expect(found.RootFS.Layers).toEqual(image.layers.map(({ diffId }) => diffId));
  });

  it("takes only what it lacks, on an image that it has", async () => {
    const base = `millrace-test/base:${run}`;
    await load(
      await imageOf(`base ${run}`, cacheDirectory, Buffer.alloc(5_000_000, `${run}`)),
      base,
    );
    const platform = { os: "linux", architecture: "amd64" } as const;
    const { Os, Architecture, RootFS, Config } = await inspect(base);
    const found = { os: Os, architecture: Architecture, diffIds: RootFS.Layers, config: Config };
    const app = await assembleImage({
      base: engineBase(base, found, platform),
      layers: [{ name: "code", files: [{ path: "app/a.js", content: text(`app ${run}`) }] }],
      config: { entrypoint: ["a"], workingDirectory: "/", port: 1, environment: {}, labels: {} },
      cacheDirectory,
      signal: quiet.signal,
    });
    const reference = `millrace-test/app:${run}`;
    const { bytes } = await load(app, reference, [RootFS.Layers]);
    expect(bytes).toBeLessThan(10_000);
    expect((await inspect(reference)).RootFS.Layers).toEqual(
      app.layers.map(({ diffId }) => diffId),
    );
  });

  it("refuses an image without a layer that it does not have", async () => {
    const image = await imageOf(`refused ${run}`, cacheDirectory, text(`unknown ${run}`));
    const reference = `millrace-test/refused:${run}`;
    const { text: said } = await load(image, reference, [
      image.layers.slice(0, 1).map(({ diffId }) => diffId),
    ]);
    expect(said).toContain("no such file or directory");
    await expect(inspect(reference)).rejects.toThrow();
  });
});
