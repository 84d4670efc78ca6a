import {
  type EngineContent,
  type EngineImage,
  type ImagePlatform,
  isMillraceError,
  MillraceError,
} from "@millrace/core";
import { createTarDecoder } from "modern-tar";
import { type BaseSource, readBase } from "./base-image.ts";
import { type Cache, openCache } from "./cache.ts";
import type { BaseImage, Context } from "./image.ts";
import { isFor, wrongPlatform } from "./platform.ts";
import { formatImageReference, parseImageReference } from "./reference.ts";

export interface EngineBaseRequest extends Context {
  readonly reference: string;
  /** What the engine says of it. */
  readonly image: EngineImage;
  readonly platform: ImagePlatform;
  readonly cacheDirectory: string;
}

/**
 * An image that an engine has, as a base.
 *
 * Where the engine keeps layers only, they stay there: what is put on the image can be loaded there, and not be pushed.
 * Where it keeps images as registries do, it takes none without a manifest, which names layers by their compressed bytes:
 * the image is read from there once.
 * @throws MillraceError IMAGE_PLATFORM when it is for another platform; IMAGE_INCOMPLETE when the engine lacks a part of
 * it; IMAGE_UNSUPPORTED, IMAGE_INVALID.
 */
export async function engineBase(request: EngineBaseRequest): Promise<BaseImage> {
  const { image, platform } = request;
  const name = formatImageReference(parseImageReference(request.reference));
  if (image.content !== null) return savedBase(name, image.content, request);
  if (!isFor(image, platform)) throw wrongPlatform(name, platform, [image]);
  return {
    reference: name,
    digest: null,
    platform,
    variant: null,
    config: image.config,
    history: [],
    layers: image.diffIds.map((diffId) => ({ name: "base", diffId, blob: null })),
  };
}

async function savedBase(
  name: string,
  { digest, save }: EngineContent,
  { cacheDirectory, platform, progress }: EngineBaseRequest,
): Promise<BaseImage> {
  const cache = openCache(cacheDirectory);
  const missing = (part: string) => incomplete(name, part);
  const source: BaseSource = {
    name,
    cache,
    from: null,
    fetchManifest: (digest) => Promise.reject(missing(digest)),
    download: (descriptor) =>
      new ReadableStream({ start: (controller) => controller.error(missing(descriptor.digest)) }),
  };
  const read = async () => mustBeHeld(cache, await readBase(source, digest, platform), missing);
  try {
    return await read();
  } catch (error) {
    if (!isMillraceError(error) || error.code !== INCOMPLETE) throw error;
  }
  progress(`Reading ${name} from the engine`);
  await keepBlobs(cache, save());
  return read();
}

async function mustBeHeld(
  cache: Cache,
  base: BaseImage,
  missing: (part: string) => MillraceError,
): Promise<BaseImage> {
  for (const { blob } of base.layers)
    if (blob !== null && (await cache.size(blob.digest)) !== blob.size) throw missing(blob.digest);
  return base;
}

/** Where an archive has its manifests, configurations and layers; the name is the digest. */
const BLOB = /^blobs\/sha256\/[0-9a-f]{64}$/;

async function keepBlobs(cache: Cache, archive: AsyncIterable<Uint8Array>): Promise<void> {
  const entries = ReadableStream.from(archive).pipeThrough(createTarDecoder());
  for await (const { header, body } of entries) {
    if (header.type === "file" && BLOB.test(header.name)) await cache.write(body);
    // It is read to its end: the decoder takes the cancelling of what it has done with for that of what it is at.
    else await body.pipeTo(new WritableStream());
  }
}

const INCOMPLETE = "IMAGE_INCOMPLETE";

function incomplete(name: string, part: string): MillraceError {
  return new MillraceError({
    class: "platform",
    code: INCOMPLETE,
    message: `The engine has only a part of the image ${name}: ${part} is missing.`,
    action: "Pull or build the image again.",
    details: { reference: name },
  });
}
