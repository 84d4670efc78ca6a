import { createHash } from "node:crypto";
import { type EngineImage, imageSettingsSchema } from "@millrace/core";
import { unpackTar } from "modern-tar";
import { z } from "zod";

/** Label of an image that names the pipeline in it. */
const PIPELINE_LABEL = "org.opencontainers.image.title";
/** What the platform has from the beginning, by the name of the default base image. */
const BASE = imageSettingsSchema.parse({}).base;
const BASE_LAYER = Buffer.alloc(1024);

export const imageConfigSchema = z.looseObject({
  os: z.string(),
  architecture: z.string(),
  config: z.record(z.string(), z.json()),
  rootfs: z.looseObject({ diff_ids: z.array(z.string()) }),
});
export type ImageConfig = z.output<typeof imageConfigSchema>;

const archiveSchema = z
  .tuple([z.looseObject({ Config: z.string(), Layers: z.array(z.string()) })])
  .rest(z.never());

/** The configuration and the one layer of an image that others are put on. It holds nothing. */
export const BASE_IMAGE: { readonly config: ImageConfig; readonly layer: Uint8Array } = {
  config: {
    os: "linux",
    architecture: "amd64",
    config: { Env: [] },
    rootfs: { type: "layers", diff_ids: [digestOf(BASE_LAYER)] },
  },
  layer: BASE_LAYER,
};

export function digestOf(bytes: Uint8Array | string): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** The images that a platform has. */
export class ImageStore {
  readonly #images = new Map([[BASE, BASE_IMAGE.config]]);
  /** Layers that the platform has, each with all below it. */
  readonly #layers = new Set([chainOf(BASE_IMAGE.config.rootfs.diff_ids)]);
  /** Archives that were taken in. */
  deliveries = 0;

  has(reference: string): boolean {
    return this.#images.has(reference);
  }

  find(reference: string): EngineImage | null {
    const image = this.#images.get(reference);
    if (image === undefined) return null;
    const { os, architecture, config, rootfs } = image;
    return { os, architecture, diffIds: rootfs.diff_ids, config, content: null };
  }

  /** The pipeline that an image runs; null when there is no such image. */
  pipelineOf(reference: string): string | null {
    const labels = this.#images.get(reference)?.config["Labels"];
    return z.record(z.string(), z.string()).safeParse(labels).data?.[PIPELINE_LABEL] ?? null;
  }

  keep(reference: string, image: ImageConfig): void {
    this.#images.set(reference, image);
    const { diff_ids } = image.rootfs;
    for (const [index] of diff_ids.entries())
      this.#layers.add(chainOf(diff_ids.slice(0, index + 1)));
  }

  remove(reference: string): void {
    this.#images.delete(reference);
  }

  /** Takes in an archive of the form of `docker save`. False when a layer is neither in it nor here. */
  async load(reference: string, archive: Uint8Array): Promise<boolean> {
    const files = new Map(
      (await unpackTar(archive)).map(({ header, data }) => [header.name, data]),
    );
    const read = (name: string): unknown =>
      JSON.parse(Buffer.from(files.get(name) ?? []).toString("utf8"));
    const [{ Config, Layers }] = archiveSchema.parse(read("manifest.json"));
    const image = imageConfigSchema.parse(read(Config));
    const { diff_ids } = image.rootfs;
    const isComplete = diff_ids.every(
      (_, index) =>
        files.has(Layers[index] ?? "") || this.#layers.has(chainOf(diff_ids.slice(0, index + 1))),
    );
    if (!isComplete) return false;
    this.keep(reference, image);
    this.deliveries++;
    return true;
  }
}

function chainOf(diffIds: readonly string[]): string {
  return diffIds.join(" ");
}
