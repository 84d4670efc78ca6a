import { type ImagePlatform, MillraceError, parse } from "@millrace/core";
import { z } from "zod";
import type { Cache } from "./cache.ts";
import { skipping } from "./chunks.ts";
import type { BaseImage, Blob, Layer } from "./image.ts";
import {
  imageConfigSchema,
  indexSchema,
  layerType,
  type Manifest,
  manifestSchema,
} from "./media-types.ts";
import { isFor, wrongPlatform } from "./platform.ts";
import type { RepositoryName } from "./reference.ts";

/** An image's configuration is small; what is larger is none. */
const LARGEST_CONFIG = 8 * 1024 * 1024;

type Descriptor = Manifest["layers"][number];

/** What has an image. What was read of it once is in the cache. */
export interface BaseSource {
  /** The image's reference in full, for messages. */
  readonly name: string;
  readonly cache: Cache;
  /** The repository that has the layers; null where no registry has them. */
  readonly from: RepositoryName | null;
  /** Puts a manifest or an index into the cache. Rejects when there is none. */
  fetchManifest(digest: string): Promise<void>;
  /** The bytes of a layer or a configuration, checked by the time that they end. */
  download(descriptor: Descriptor): AsyncIterable<Uint8Array>;
}

export const OLD_FORMAT = "it is in the format that Docker gave up in 2017";

/** The error for an image that nothing can be put on. */
export function unsupported(name: string, why: string): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "IMAGE_UNSUPPORTED",
    message: `The image ${name} cannot be a base: ${why}.`,
    action: "Use an image in OCI's or Docker's current format, with layers for Linux.",
    details: { reference: name },
  });
}

function readJson(bytes: Uint8Array, { name }: BaseSource): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new MillraceError({
      class: "platform",
      code: "IMAGE_INVALID",
      message: `A document of the image ${name} is no JSON.`,
      action: "Push the image to its registry again.",
      cause: error,
    });
  }
}

function check<T>(schema: z.ZodType<T>, value: unknown, { name }: BaseSource): T {
  return parse(schema, value, {
    what: `A document of the image ${name}`,
    class: "platform",
    code: "IMAGE_INVALID",
    action: "Push the image to its registry again.",
  });
}

async function readManifest(source: BaseSource, digest: string): Promise<unknown> {
  const cached = await source.cache.read(digest);
  if (cached !== null) return readJson(cached, source);
  await source.fetchManifest(digest);
  return readManifest(source, digest);
}

interface PlatformManifest {
  readonly digest: string;
  readonly manifest: Manifest;
}

async function manifestFor(
  source: BaseSource,
  digest: string,
  platform: ImagePlatform,
): Promise<PlatformManifest> {
  const found = await readManifest(source, digest);
  const kind = z
    .looseObject({ schemaVersion: z.number(), manifests: z.unknown().optional() })
    .safeParse(found);
  if (kind.data?.schemaVersion === 1) throw unsupported(source.name, OLD_FORMAT);
  if (kind.data?.manifests === undefined)
    return { digest, manifest: check(manifestSchema, found, source) };
  const { manifests } = check(indexSchema, found, source);
  const offers = manifests.flatMap(({ digest, platform }) =>
    // Attestations are listed beside the images, as "unknown/unknown".
    platform === undefined || platform.os === "unknown" ? [] : [{ digest, ...platform }],
  );
  const fitting = offers.filter((offer) => isFor(offer, platform));
  // Variants such as amd64/v3 run only on some processors; arm64 is v8.
  const named =
    fitting.find(({ variant }) => variant === undefined || variant === "v8") ?? fitting[0];
  // Which platform it is for need not be listed; then its configuration tells.
  const unnamed = manifests.filter(({ platform }) => platform === undefined);
  const chosen = named ?? (unnamed.length === 1 ? unnamed[0] : undefined);
  if (chosen === undefined) throw wrongPlatform(source.name, platform, offers);
  const manifest = check(manifestSchema, await readManifest(source, chosen.digest), source);
  return { digest: chosen.digest, manifest };
}

/** Reads from the cache what was read before; what was not is kept while it is passed on. */
function blobOf(source: BaseSource, descriptor: Descriptor, type: string): Blob {
  const { cache, from } = source;
  const { digest, size } = descriptor;
  return {
    digest,
    size,
    mediaType: type,
    from,
    async *open(start = 0) {
      if ((await cache.size(digest)) === size) return yield* cache.open(digest, start);
      yield* skipping(cache.keep(digest, source.download(descriptor)), start);
    },
  };
}

async function readConfig(source: BaseSource, descriptor: Descriptor) {
  if (descriptor.size > LARGEST_CONFIG)
    throw unsupported(source.name, "its configuration is too large");
  const { cache } = source;
  const { digest } = descriptor;
  const cached = await cache.read(digest);
  if (cached === null) await cache.write(source.download(descriptor));
  const bytes = cached ?? (await cache.read(digest)) ?? new Uint8Array(0);
  return check(imageConfigSchema, readJson(bytes, source), source);
}

/**
 * An image for a platform, as its documents tell. Its layers are read only when somebody opens them.
 * @param named Digest of its manifest, or of an index that lists it.
 * @throws MillraceError IMAGE_PLATFORM, IMAGE_UNSUPPORTED, IMAGE_INVALID, and what the source throws.
 */
export async function readBase(
  source: BaseSource,
  named: string,
  platform: ImagePlatform,
): Promise<BaseImage> {
  const { name } = source;
  const { digest, manifest } = await manifestFor(source, named, platform);
  const types = manifest.layers.map(({ mediaType }) => layerType(mediaType));
  if (types.includes(undefined))
    throw unsupported(source.name, "it has layers that are no file systems");
  const config = await readConfig(source, manifest.config);
  if (!isFor(config, platform)) throw wrongPlatform(name, platform, [config]);
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length !== manifest.layers.length)
    throw unsupported(source.name, "its manifest and its configuration list different layers");
  return {
    reference: name,
    digest,
    platform,
    variant: config.variant ?? null,
    config: config.config ?? {},
    history: config.history ?? [],
    layers: manifest.layers.map(
      (descriptor, index): Layer => ({
        name: "base",
        diffId: diffIds[index] ?? "",
        blob: blobOf(source, descriptor, types[index] ?? ""),
      }),
    ),
  };
}
