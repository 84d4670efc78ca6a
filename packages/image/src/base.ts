import {
  type ImagePlatform,
  isMillraceError,
  MillraceError,
  type RegistryCredentials,
} from "@millrace/core";
import { z } from "zod";
import { type BaseSource, readBase } from "./base-image.ts";
import { type Cache, openCache } from "./cache.ts";
import { single } from "./chunks.ts";
import type { BaseImage, Context } from "./image.ts";
import { formatImageReference, type ImageReference, parseImageReference } from "./reference.ts";
import { type Connection, connect } from "./registry/connection.ts";
import { downloadBlob, missing } from "./registry/download.ts";
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
  /** For the look-up. Layers are read later, for somebody who may try again too: as often as is the default. */
  readonly retry?: RetryPolicy | undefined;
}

const ONCE: RetryPolicy = { attempts: 1, firstDelayMs: 0 };

/** What a tag named when it was last looked up. */
const tagSchema = z.object({ digest: z.string() });

/** An image in a registry. */
interface RegistryImage {
  readonly image: ImageReference;
  /** In full, for messages. */
  readonly name: string;
  readonly connection: Connection;
  readonly cache: Cache;
}

function notFound({ name }: RegistryImage): MillraceError {
  return new MillraceError({
    class: "not_found",
    code: "IMAGE_NOT_FOUND",
    message: `There is no image ${name}.`,
    action: "Check its name and tag. If it is a private image, log in at its registry first.",
    details: { reference: name },
  });
}

/** A manifest or index by tag or digest, which is then in the cache. Null when there is none. */
async function fetchManifest(
  { connection, image, cache }: RegistryImage,
  by: string,
): Promise<string | null> {
  const { repository } = image;
  const found = await getManifest(connection, repository, by, pullScope(repository));
  return found === null ? null : (await cache.write(single(found.bytes))).digest;
}

/** Asks the registry what a tag names now; when it cannot be reached, what it named before is good enough. */
async function digestOfTag(
  wanted: RegistryImage,
  tag: string,
  impatient: Connection,
): Promise<string> {
  const { image, cache, name } = wanted;
  const { data } = tagSchema.safeParse(await cache.recall("tags", name));
  const connection = data === undefined ? wanted.connection : impatient;
  try {
    const head = await headManifest(connection, image.repository, tag, pullScope(image.repository));
    const digest = head === undefined ? await fetchManifest(wanted, tag) : head;
    if (digest === null) throw notFound(wanted);
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
  const { registry, repository } = image;
  const name = { registry, repository };
  const options = { name, credentials, plainHttp, context: { signal, progress } };
  const connection = connect({ ...options, retry });
  const cache = openCache(request.cacheDirectory);
  const wanted = { image, name: formatImageReference(image), connection, cache };
  const impatient = connect({ ...options, retry: ONCE });
  const reading = connect(options);
  const named = image.digest ?? (await digestOfTag(wanted, image.tag ?? "latest", impatient));
  const source: BaseSource = {
    name: wanted.name,
    cache,
    from: name,
    fetchManifest: async (digest) => {
      if ((await fetchManifest(wanted, digest)) !== null) return;
      const what = `the manifest ${digest} in ${wanted.name}`;
      throw digest === named ? notFound(wanted) : missing(registry, what);
    },
    download: (descriptor) => downloadBlob(reading, repository, descriptor),
  };
  return readBase(source, named, platform);
}
