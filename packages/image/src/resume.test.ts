import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { pushImage } from "./push.ts";
import { type ResumingRegistry, startResumingRegistry } from "./resuming-registry.fixture.ts";
import { bytesOf, quiet, scratchFolder } from "./scratch.fixture.ts";
import { imageOf } from "./small-image.fixture.ts";

const cacheDirectory = join(scratchFolder(), "cache");
let registry: ResumingRegistry;

beforeAll(async () => {
  registry = await startResumingRegistry();
});
afterAll(() => registry.stop());

it("an upload that was cut goes on after what the registry has got, as often as it is cut", async () => {
  const image = await imageOf("resumed", cacheDirectory, randomBytes(1_500_000));
  registry.cuts = { times: 5, after: 100_000 };
  await pushImage(image, {
    ...quiet,
    repository: `${registry.host}/x`,
    credentials: null,
    cacheDirectory,
    retry: { attempts: 3, firstDelayMs: 1 },
  });
  const resumed = registry.brought
    .filter((one) => one.startsWith("PATCH"))
    .map((one) => Number(one.split(" ")[1]));
  expect(resumed).toHaveLength(5);
  expect(resumed.every((start, index) => start >= (index + 1) * 100_000)).toBe(true);
  for (const { blob } of image.layers) {
    if (blob === null) throw new Error("The layer has no bytes.");
    expect(registry.blobs.get(blob.digest)?.equals(await bytesOf(blob.open()))).toBe(true);
  }
});
