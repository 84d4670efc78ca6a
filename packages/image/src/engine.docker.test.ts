import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { EngineImage } from "@millrace/core";
import { afterAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { imageArchive } from "./archive.ts";
import { assembleImage } from "./assemble.ts";
import { buildContext } from "./build-context.ts";
import { askEngine, readEngine } from "./engine.fixture.ts";
import { engineBase } from "./engine-base.ts";
import type { Image } from "./image.ts";
import { quiet, scratchFolder, text } from "./scratch.fixture.ts";
import { imageOf } from "./small-image.fixture.ts";

const scratch = scratchFolder();
const cacheDirectory = join(scratch, "cache");
const run = Date.now();
const loaded: string[] = [];

const inspectedSchema = z.looseObject({
  Id: z.string(),
  RepoDigests: z.array(z.string()).nullish(),
  Os: z.string(),
  Architecture: z.string(),
  RootFS: z.looseObject({ Layers: z.array(z.string()).default([]) }),
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

async function inspectImage(reference: string): Promise<EngineImage> {
  const { Os, Architecture, Config, Id, RepoDigests, RootFS } = await inspect(reference);
  const content = RepoDigests?.some((digest) => digest.endsWith(`@${Id}`))
    ? { digest: Id, save: () => readEngine(`/images/${encodeURIComponent(reference)}/get`) }
    : null;
  return { os: Os, architecture: Architecture, diffIds: RootFS.Layers, config: Config, content };
}

afterAll(async () => {
  for (const reference of loaded)
    await askEngine("DELETE", `/images/${encodeURIComponent(reference)}?force=true`);
});

describe("a Docker engine", () => {
  it("takes an image, and gives it the digest of its configuration, or of its manifest, as id", async () => {
    const image = await imageOf(`whole ${run}`, cacheDirectory);
    const reference = `millrace-test/whole:${run}`;
    await load(image, reference);
    const found = await inspect(reference);
    expect([image.config.digest, image.manifest?.digest]).toContain(found.Id);
    expect(found.RootFS.Layers).toEqual(image.layers.map(({ diffId }) => diffId));
  });

  it("takes only what it lacks, on an image that it has", async () => {
    const base = `millrace-test/base:${run}`;
    await load(
      await imageOf(`base ${run}`, cacheDirectory, Buffer.alloc(5_000_000, `${run}`)),
      base,
    );
    const platform = { os: "linux", architecture: "amd64" } as const;
    const image = await inspectImage(base);
    const app = await assembleImage({
      base: await engineBase({ ...quiet, reference: base, image, platform, cacheDirectory }),
      layers: [{ name: "code", files: [{ path: "app/a.js", content: text(`app ${run}`) }] }],
      config: { entrypoint: ["a"], workingDirectory: "/", port: 1, environment: {}, labels: {} },
      cacheDirectory,
      signal: quiet.signal,
    });
    const reference = `millrace-test/app:${run}`;
    const { bytes } = await load(app, reference, [image.diffIds]);
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
    expect(said).toMatch(/no such file or directory|Error unpacking image .* not found/);
    // An engine that took it all the same does not know its layers.
    const left = await inspect(reference).catch(() => null);
    expect(left?.RootFS.Layers ?? []).toEqual([]);
  });

  it("builds from a context with a folder that has nothing in it", async () => {
    const folder = join(scratch, "context");
    mkdirSync(join(folder, "empty"), { recursive: true });
    writeFileSync(
      join(folder, "Dockerfile"),
      `FROM scratch\nCOPY empty /empty\nLABEL run=${run}\n`,
    );
    const { open } = await buildContext(join(folder, "Dockerfile"), quiet.signal);
    const reference = `millrace-test/built:${run}`;
    loaded.push(reference);
    const { text: said } = await askEngine("POST", `/build?t=${reference}`, open());
    expect(said).not.toContain("errorDetail");
    expect((await inspect(reference)).RootFS.Layers).toHaveLength(1);
  });
});
