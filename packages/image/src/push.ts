import { MillraceError, type RegistryCredentials } from "@millrace/core";
import pMap from "p-map";
import { z } from "zod";
import { type Cache, openCache } from "./cache.ts";
import { single } from "./chunks.ts";
import type { Blob, Context, Document, Image } from "./image.ts";
import { OCI_CONFIG } from "./media-types.ts";
import { formatImageReference, parseRepositoryName, type RepositoryName } from "./reference.ts";
import { type Connection, connect } from "./registry/connection.ts";
import { hasManifest, headManifest, pushScope, putManifest } from "./registry/manifests.ts";
import type { RetryPolicy } from "./registry/retry.ts";
import { bring, hasBlob, type Outcome, type UploadTarget } from "./registry/upload.ts";

export interface PushRequest extends Context {
  /** `host[:port]/path`, without tag or digest. */
  readonly repository: string;
  readonly tag?: string | undefined;
  /** Null: those that the Docker configuration file has for the host, else none. */
  readonly credentials: RegistryCredentials | null;
  readonly cacheDirectory: string;
  /** Allows HTTP without TLS for other than loopback hosts. Default false. */
  readonly plainHttp?: boolean;
  readonly retry?: RetryPolicy | undefined;
}

export interface PushedBlob {
  /** `runtime`, `dependencies`, `code`, `base` or `config`. */
  readonly name: string;
  readonly digest: string;
  readonly bytes: number;
  readonly seconds: number;
}

export interface PushResult {
  /** Repository with digest. */
  readonly reference: string;
  readonly uploaded: readonly PushedBlob[];
  /** Brought over from another repository of the registry. */
  readonly mounted: readonly PushedBlob[];
  /** Were there already. Empty when the whole image was. */
  readonly present: readonly PushedBlob[];
}

const BLOBS_AT_ONCE = 4;

const seenSchema = z.object({ repository: z.string() });

interface NamedBlob {
  readonly name: string;
  readonly blob: Blob;
}

/** All blobs of an image, each once. */
function blobsOf(image: Image): NamedBlob[] {
  const { digest, bytes } = image.config;
  const config: Blob = {
    digest,
    size: bytes.length,
    mediaType: OCI_CONFIG,
    from: null,
    open: (start = 0) => single(bytes.subarray(start)),
  };
  const named = image.layers.flatMap(({ name, blob }) => (blob === null ? [] : [{ name, blob }]));
  return [
    ...new Map(
      [...named, { name: "config", blob: config }].map((one) => [one.blob.digest, one]),
    ).values(),
  ];
}

/** A repository of the same registry that the blob may be in. */
async function elsewhere(cache: Cache, to: RepositoryName, blob: Blob): Promise<string | null> {
  if (blob.from?.registry === to.registry) return blob.from.repository;
  const { data } = seenSchema.safeParse(
    await cache.recall("seen", `${to.registry} ${blob.digest}`),
  );
  return data === undefined || data.repository === to.repository ? null : data.repository;
}

async function pushBlob(
  target: UploadTarget,
  cache: Cache,
  to: RepositoryName,
  { name, blob }: NamedBlob,
): Promise<PushedBlob & { readonly outcome: Outcome }> {
  const began = performance.now();
  const { digest, size } = blob;
  const done = (outcome: Outcome) => ({
    outcome,
    name,
    digest,
    bytes: size,
    seconds: (performance.now() - began) / 1000,
  });
  const { connection } = target;
  if (await connection.retrying(() => hasBlob(target, blob))) return done("present");
  const upload = {
    ...target,
    blob,
    name: name === "config" ? "the configuration" : `layer ${name}`,
  };
  const outcome = await bring(upload, await elsewhere(cache, to, blob));
  await cache.note("seen", `${to.registry} ${digest}`, { repository: to.repository });
  return done(outcome);
}

async function pushBlobs(
  connection: Connection,
  cache: Cache,
  to: RepositoryName,
  image: Image,
): Promise<(PushedBlob & { readonly outcome: Outcome })[]> {
  const target = { connection, repository: to.repository };
  return pMap(blobsOf(image), (named) => pushBlob(target, cache, to, named), {
    concurrency: BLOBS_AT_ONCE,
    signal: connection.context.signal,
  });
}

/**
 * Brings an image into a registry. Sends only what is not there; nothing at all when the image is.
 * @throws MillraceError REGISTRY_UNREACHABLE, REGISTRY_FAILED, REGISTRY_THROTTLED (retryable, after several tries),
 * REGISTRY_CERTIFICATE, REGISTRY_UNSAFE, REGISTRY_UNAUTHORIZED, REGISTRY_DENIED, REGISTRY_REFUSED, BLOB_CORRUPT,
 * IMAGE_LAYER_ELSEWHERE for an image whose base is only in an engine.
 */
export async function pushImage(image: Image, request: PushRequest): Promise<PushResult> {
  const { repository, credentials, plainHttp = false, retry, signal, progress } = request;
  const { manifest } = image;
  if (manifest === null)
    throw new MillraceError({
      class: "usage",
      code: "IMAGE_LAYER_ELSEWHERE",
      message: "The image cannot be pushed: the layers of its base image are only in an engine.",
      action: "Take the base image from a registry.",
    });
  const to = parseRepositoryName(repository);
  const ended = new AbortController();
  const connection = connect({
    name: to,
    credentials,
    plainHttp,
    retry,
    context: { signal: AbortSignal.any([signal, ended.signal]), progress },
  });
  try {
    return await pushBy(connection, to, image, manifest, request);
  } finally {
    // When one blob fails, the uploads of the others end.
    ended.abort();
  }
}

async function pushBy(
  connection: Connection,
  to: RepositoryName,
  image: Image,
  manifest: Document,
  request: PushRequest,
): Promise<PushResult> {
  const { cacheDirectory } = request;
  const tag = request.tag ?? null;
  const reference = formatImageReference({ ...to, tag: null, digest: manifest.digest });
  const unchanged: PushResult = { reference, uploaded: [], mounted: [], present: [] };
  const [tagged, known] = await Promise.all([
    tag === null ? null : headManifest(connection, to.repository, tag, pushScope(to.repository)),
    hasManifest(connection, to.repository, manifest.digest),
  ]);
  if (tagged === manifest.digest) return unchanged;
  if (known) {
    if (tag !== null) await putManifest(connection, to.repository, manifest, tag);
    return unchanged;
  }
  const pushed = await pushBlobs(connection, openCache(cacheDirectory), to, image);
  await putManifest(connection, to.repository, manifest, tag);
  const those = (wanted: Outcome) =>
    pushed.filter(({ outcome }) => outcome === wanted).map(({ outcome: _, ...blob }) => blob);
  return {
    reference,
    uploaded: those("uploaded"),
    mounted: those("mounted"),
    present: those("present"),
  };
}
