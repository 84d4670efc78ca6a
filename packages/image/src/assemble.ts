import { canonicalJson, type JsonObject, parse } from "@millrace/core";
import pMap from "p-map";
import { z } from "zod";
import { type Cache, openCache } from "./cache.ts";
import { type Meter, sha256, startMeter } from "./digest.ts";
import { contentKey, knowAll, type LayerFile, withFolders } from "./files.ts";
import { gzip } from "./gzip.ts";
import type { BaseImage, Document, Image, Layer } from "./image.ts";
import { executionSchema, OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST } from "./media-types.ts";
import { prune } from "./prune.ts";
import { FIXED_TIME, writeTar } from "./tar.ts";

export interface LayerInput {
  /** In order of how seldom they change. */
  readonly name: "runtime" | "dependencies" | "code";
  readonly files: readonly LayerFile[];
}

/** What a container of the image runs, and how. */
export interface ImageConfig {
  /** The program and its arguments; no shell is between. */
  readonly entrypoint: readonly string[];
  readonly workingDirectory: string;
  /** TCP port that the image declares to listen on. */
  readonly port: number;
  /** Set over the base image's. */
  readonly environment: Readonly<Record<string, string>>;
  /** Set over the base image's, and over `org.opencontainers.image.base.*`, which tell the base image. */
  readonly labels: Readonly<Record<string, string>>;
  /** `uid:gid`. Default 1000:1000. */
  readonly user?: string;
}

export interface AssembleRequest {
  /** May be on its way yet: layers are made meanwhile. */
  readonly base: BaseImage | Promise<BaseImage>;
  /** Lowest first. One without files is left out. */
  readonly layers: readonly LayerInput[];
  readonly config: ImageConfig;
  readonly cacheDirectory: string;
  readonly signal: AbortSignal;
}

const DEFAULT_USER = "1000:1000";
const CREATED = FIXED_TIME.toISOString().replace(".000", "");

const madeLayerSchema = z.object({ digest: z.string(), diffId: z.string(), size: z.number() });
type MadeLayer = z.output<typeof madeLayerSchema>;

async function* metered(
  source: AsyncIterable<Uint8Array>,
  meter: Meter,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    signal.throwIfAborted();
    meter.add(chunk);
    yield chunk;
  }
}

/** The layer that was made of the same content before, when the cache still holds it. */
async function madeBefore(cache: Cache, key: string): Promise<MadeLayer | null> {
  const { data } = madeLayerSchema.safeParse(await cache.recall("layers", key));
  return data !== undefined && (await cache.size(data.digest)) === data.size ? data : null;
}

async function makeLayer(
  cache: Cache,
  { name, files }: LayerInput,
  signal: AbortSignal,
): Promise<Layer> {
  const known = await knowAll(files, signal);
  const key = contentKey(known);
  let made = await madeBefore(cache, key);
  if (made === null) {
    const plain = startMeter();
    const stored = await cache.write(gzip(metered(writeTar(withFolders(known)), plain, signal)));
    made = { ...stored, diffId: plain.digest() };
    await cache.note("layers", key, made);
  }
  const { digest, size, diffId } = made;
  const open = (start = 0) => cache.open(digest, start);
  return { name, diffId, blob: { digest, size, mediaType: OCI_LAYER_GZIP, from: null, open } };
}

function mergeEnvironment(
  base: readonly string[],
  ours: Readonly<Record<string, string>>,
): string[] {
  const nameOf = (variable: string) => variable.split("=", 1)[0] ?? "";
  return [
    ...base.filter((variable) => !Object.hasOwn(ours, nameOf(variable))),
    ...Object.keys(ours)
      .sort()
      .map((name) => `${name}=${ours[name]}`),
  ];
}

/** The part `config` of the image's configuration. Of the base image's, what its programs need holds on. */
function execution(base: BaseImage, config: ImageConfig): JsonObject {
  const { Env, Labels, Volumes, StopSignal } = parse(executionSchema, base.config, {
    what: `The configuration of the base image ${base.reference}`,
    code: "IMAGE_INVALID",
  });
  return {
    User: config.user ?? DEFAULT_USER,
    ExposedPorts: { [`${config.port}/tcp`]: {} },
    Env: mergeEnvironment(Env ?? [], config.environment),
    Entrypoint: config.entrypoint,
    WorkingDir: config.workingDirectory,
    ...(Volumes ? { Volumes } : {}),
    ...(StopSignal ? { StopSignal } : {}),
    Labels: {
      ...Labels,
      "org.opencontainers.image.base.name": base.reference,
      ...(base.digest === null ? {} : { "org.opencontainers.image.base.digest": base.digest }),
      ...config.labels,
    },
  };
}

function documentOf(value: unknown): Document {
  const bytes = new TextEncoder().encode(canonicalJson(value));
  return { digest: sha256(bytes), bytes };
}

/** An entry for each layer, also where the base image has told none. */
function historyOf(base: BaseImage, made: readonly Layer[]): JsonObject[] {
  const entry = (by: string): JsonObject => ({ created: CREATED, created_by: by });
  const told = base.history.filter(({ empty_layer }) => empty_layer !== true).length;
  return [
    ...(told === base.layers.length ? base.history : base.layers.map(() => entry("base image"))),
    ...made.map(({ name }) => entry(`millrace: ${name}`)),
  ];
}

function manifestOf(config: Document, layers: readonly Layer[]): Document | null {
  const blobs = layers.flatMap(({ blob }) => blob ?? []);
  if (blobs.length < layers.length) return null;
  return documentOf({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: { mediaType: OCI_CONFIG, digest: config.digest, size: config.bytes.length },
    layers: blobs.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
  });
}

/**
 * Puts layers on a base image. The same input gives the same bytes on every machine; layers whose content did not change
 * are taken from the cache.
 * @throws MillraceError LAYER_FILE_REFUSED when a file is none that an image can have.
 */
export async function assembleImage(request: AssembleRequest): Promise<Image> {
  const { signal } = request;
  const cache = openCache(request.cacheDirectory);
  await prune(request.cacheDirectory);
  const inputs = request.layers.filter(({ files }) => files.length > 0);
  const making = pMap(inputs, (input) => makeLayer(cache, input, signal), { signal });
  const [base, made] = await Promise.all([request.base, making]);
  const layers = [...base.layers, ...made];
  const config = documentOf({
    created: CREATED,
    os: base.platform.os,
    architecture: base.platform.architecture,
    ...(base.variant === null ? {} : { variant: base.variant }),
    config: execution(base, request.config),
    rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
    history: historyOf(base, made),
  });
  const manifest = manifestOf(config, layers);
  const size = [
    config.bytes.length,
    manifest?.bytes.length ?? 0,
    ...layers.map(({ blob }) => blob?.size ?? 0),
  ].reduce((sum, bytes) => sum + bytes, 0);
  return { platform: base.platform, layers, config, manifest, size };
}
