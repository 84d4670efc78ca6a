import {
  type ImagePlatform,
  isMillraceError,
  MillraceError,
  parse,
  type RegistryCredentials,
} from "@millrace/core";
import { z } from "zod";
import { type Cache, openCache } from "./cache.ts";
import { single, skipping } from "./chunks.ts";
import type { BaseImage, Blob, Context, Layer } from "./image.ts";
import {
  imageConfigSchema,
  indexSchema,
  layerType,
  type Manifest,
  manifestSchema,
} from "./media-types.ts";
import { isFor, wrongPlatform } from "./platform.ts";
import { formatImageReference, type ImageReference, parseImageReference } from "./reference.ts";
import { type Connection, connect } from "./registry/connection.ts";
import { downloadBlob } from "./registry/download.ts";
import { getManifest, headManifest, pullScope } from "./registry/manifests.ts";
import type { RetryPolicy } from "./registry/retry.ts";

export interface BaseRequest extends Context {
  readonly reference: string;
  readonly platform: ImagePlatform;
  readonly cacheDirectory: string;
  /** Default: those that the Docker configuration file has for the registry, else none. */
  readonly credentials?: RegistryCredentials | null;
  /** Allows HTTP without TLS for other than loopback hosts. Default false. */
  readonly plainHttp?: boolean;
  readonly retry?: RetryPolicy | undefined;
}

/** An image's configuration is small; what is larger is none. */
const LARGEST_CONFIG = 8 * 1024 * 1024;

const ONCE: RetryPolicy = { attempts: 1, firstDelayMs: 0 };

/** What a tag named when it was last looked up. */
const tagSchema = z.object({ digest: z.string() });

/** Where a base image is taken from. */
interface Source {
  readonly image: ImageReference;
  /** In full, for messages. */
  readonly name: string;
  readonly connection: Connection;
  /** Does not try again. */
  readonly impatient: Connection;
  readonly cache: Cache;
}

function notFound({ name }: Source): MillraceError {
  return new MillraceError({
    class: "not_found",
    code: "IMAGE_NOT_FOUND",
    message: `There is no image ${name}.`,
    action: "Check its name and tag. If it is a private image, log in at its registry first.",
    details: { reference: name },
  });
}

function unsupported({ name }: Source, why: string): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "IMAGE_UNSUPPORTED",
    message: `The image ${name} cannot be a base: ${why}.`,
    action: "Use an image in OCI's or Docker's current format, with layers for Linux.",
    details: { reference: name },
  });
}

function readJson(bytes: Uint8Array, { name }: Source): unknown {
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

function check<T>(schema: z.ZodType<T>, value: unknown, { name }: Source): T {
  return parse(schema, value, {
    what: `A document of the image ${name}`,
    class: "platform",
    code: "IMAGE_INVALID",
    action: "Push the image to its registry again.",
  });
}

/** A manifest or index by tag or digest, which is then in the cache. */
async function fetchManifest(source: Source, by: string): Promise<string> {
  const found = await getManifest(source.connection, source.image.repository, by);
  if (found === null) throw notFound(source);
  return (await source.cache.write(single(found.bytes))).digest;
}

async function readManifest(source: Source, digest: string): Promise<unknown> {
  const cached = await source.cache.read(digest);
  if (cached !== null) return readJson(cached, source);
  await fetchManifest(source, digest);
  return readManifest(source, digest);
}

/** Asks the registry what a tag names now; when it cannot be reached, what it named before is good enough. */
async function digestOfTag(source: Source, tag: string): Promise<string> {
  const { image, cache, name } = source;
  const { data } = tagSchema.safeParse(await cache.recall("tags", name));
  const connection = data === undefined ? source.connection : source.impatient;
  try {
    const head = await headManifest(connection, image.repository, tag, pullScope(image.repository));
    if (head === null) throw notFound(source);
    const digest = head ?? (await fetchManifest(source, tag));
    await cache.note("tags", name, { digest });
    return digest;
  } catch (error) {
    if (!isMillraceError(error) || error.class !== "unreachable" || data === undefined) throw error;
    connection.context.progress(
      `${error.message} Going on with what ${name} was when it was last looked up: ${data.digest}`,
    );
    return data.digest;
  }
}

interface PlatformManifest {
  readonly digest: string;
  readonly manifest: Manifest;
}

async function manifestFor(
  source: Source,
  digest: string,
  platform: ImagePlatform,
): Promise<PlatformManifest> {
  const found = await readManifest(source, digest);
  const kind = z
    .looseObject({ schemaVersion: z.number(), manifests: z.unknown() })
    .safeParse(found);
  if (kind.data?.schemaVersion === 1)
    throw unsupported(source, "it is in the format that Docker gave up in 2017");
  if (kind.data?.manifests === undefined)
    return { digest, manifest: check(manifestSchema, found, source) };
  const { manifests } = check(indexSchema, found, source);
  const offers = manifests.flatMap(({ digest, platform }) =>
    // Attestations are listed beside the images, as "unknown/unknown".
    platform === undefined || platform.os === "unknown" ? [] : [{ digest, ...platform }],
  );
  const fitting = offers.filter((offer) => isFor(offer, platform));
  // Variants such as amd64/v3 run only on some processors; arm64 is v8.
  const chosen =
    fitting.find(({ variant }) => variant === undefined || variant === "v8") ?? fitting[0];
  if (chosen === undefined) throw wrongPlatform(source.name, platform, offers);
  const manifest = check(manifestSchema, await readManifest(source, chosen.digest), source);
  return { digest: chosen.digest, manifest };
}

type Descriptor = Manifest["layers"][number];

/** Reads from the cache what was read before; what was not is kept while it is passed on. */
function blobOf({ image, connection, cache }: Source, descriptor: Descriptor, type: string): Blob {
  const { digest, size } = descriptor;
  const { registry, repository } = image;
  return {
    digest,
    size,
    mediaType: type,
    from: { registry, repository },
    async *open(start = 0) {
      if ((await cache.size(digest)) === size) return yield* cache.open(digest, start);
      const download = downloadBlob(connection, repository, descriptor);
      yield* skipping(cache.keep(digest, download), start);
    },
  };
}

async function readConfig(source: Source, descriptor: Descriptor) {
  if (descriptor.size > LARGEST_CONFIG) throw unsupported(source, "its configuration is too large");
  const { digest } = descriptor;
  const cached = await source.cache.read(digest);
  const { connection, image } = source;
  if (cached === null)
    await source.cache.write(downloadBlob(connection, image.repository, descriptor));
  const bytes = cached ?? (await source.cache.read(digest)) ?? new Uint8Array(0);
  return check(imageConfigSchema, readJson(bytes, source), source);
}

/**
 * Looks up the image that others are made on, for a platform. Its layers are read only when somebody opens them.
 *
 * A tag is looked up each time; a digest only once.
 * @throws MillraceError IMAGE_REFERENCE_INVALID, IMAGE_NOT_FOUND, IMAGE_PLATFORM, IMAGE_UNSUPPORTED, IMAGE_INVALID, and
 * what talking to a registry can throw.
 */
export async function resolveBase(request: BaseRequest): Promise<BaseImage> {
  const { platform, credentials = null, plainHttp = false, retry, signal, progress } = request;
  const image = parseImageReference(request.reference);
  const name = formatImageReference(image);
  const { registry } = image;
  const context = { signal, progress };
  const options = { registry, credentials, plainHttp, context };
  const source: Source = {
    image,
    name,
    connection: connect({ ...options, retry }),
    impatient: connect({ ...options, retry: ONCE }),
    cache: openCache(request.cacheDirectory),
  };
  const named = image.digest ?? (await digestOfTag(source, image.tag ?? "latest"));
  const { digest, manifest } = await manifestFor(source, named, platform);
  const types = manifest.layers.map(({ mediaType }) => layerType(mediaType));
  if (types.includes(undefined))
    throw unsupported(source, "it has layers that are no file systems");
  const config = await readConfig(source, manifest.config);
  if (!isFor(config, platform)) throw wrongPlatform(name, platform, [config]);
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length !== manifest.layers.length)
    throw unsupported(source, "its manifest and its configuration list different layers");
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
