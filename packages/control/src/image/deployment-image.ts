import { join } from "node:path";
import {
  type EngineDestination,
  type EngineImage,
  type ImageArtefact,
  type ImageSettings,
  type ImageTarget,
  isMillraceError,
  type ReadContext,
  type RegistryCredentials,
  type RegistryDestination,
  type SnapshotManifest,
} from "@millrace/core";
import type { ArchivedImage, BaseImage, Image, LayerInput, RetryPolicy } from "@millrace/image";
import type { Workspace } from "../workspace.ts";
import { baseFromDockerfile, type Places } from "./dockerfile.ts";
import { bundleRuntime, RUNTIME_ENTRY } from "./runtime-bundle.ts";

/** Where things lie in an image. Packages are found from the snapshot's folder upwards. */
const FOLDER = "/millrace";
const RUNTIME_FOLDER = `${FOLDER}/runtime`;
const SNAPSHOT_FOLDER = `${FOLDER}/snapshot`;
const PORT = 8080;
/** The user `node` of the official images, and nobody in others. */
const USER = "1000:1000";

/**
 * Requests are repeated where they are made, as an upload goes on there where it was cut: for as long as the operation has.
 * Only with a signal that ends with the call.
 */
const UNTIL_DEADLINE: RetryPolicy = { attempts: Number.POSITIVE_INFINITY, firstDelayMs: 500 };

export interface DeploymentImage {
  readonly artefact: ImageArtefact;
  /** Brings the image to where the platform takes it from. What is there is not sent again. */
  deliver(context: ReadContext): Promise<void>;
}

export interface SnapshotToRun {
  readonly id: string;
  readonly manifest: SnapshotManifest;
}

/**
 * Makes the image of a snapshot, as the deployer's platform needs it: the same snapshot on the same base gives the same
 * reference. Nothing is sent anywhere before `deliver`.
 */
export async function makeDeploymentImage(
  workspace: Workspace,
  snapshot: SnapshotToRun,
  target: ImageTarget,
  context: ReadContext,
): Promise<DeploymentImage> {
  const image = await assemble(workspace, snapshot, target, context);
  const { destination } = target;
  return destination.kind === "engine"
    ? forEngine(image, destination)
    : forRegistry(image, destination, imageCache(workspace.loaded), context.signal);
}

async function assemble(
  workspace: Workspace,
  snapshot: SnapshotToRun,
  target: ImageTarget,
  context: ReadContext,
): Promise<Image> {
  const { assembleImage } = await import("@millrace/image");
  const failed = new AbortController();
  const signal = AbortSignal.any([context.signal, failed.signal]);
  const base = findBase(workspace.loaded, target, { ...context, signal });
  // It is awaited with the layers; should they fail first, its own failure tells nothing more.
  base.catch(() => undefined);
  try {
    const layers = await layersOf(workspace, snapshot, target, context);
    return await assembleImage({
      base,
      layers,
      cacheDirectory: imageCache(workspace.loaded),
      signal,
      config: {
        user: USER,
        workingDirectory: SNAPSHOT_FOLDER,
        entrypoint: ["node", `${RUNTIME_FOLDER}/${RUNTIME_ENTRY}`, "serve", SNAPSHOT_FOLDER],
        port: PORT,
        environment: { NODE_ENV: "production", HOST: "0.0.0.0", PORT: String(PORT) },
        labels: {
          "org.opencontainers.image.title": snapshot.manifest.pipeline.name,
          "org.opencontainers.image.version": snapshot.id,
          "dev.millrace.snapshot": snapshot.id,
        },
      },
    });
  } catch (error) {
    // Nobody waits for the base any more.
    failed.abort();
    throw error;
  }
}

function imageCache({ home }: Pick<Places, "home">): string {
  return join(home, "cache", "images");
}

/** An engine's own image comes first: no registry is asked for what is there. */
export async function findBase(
  places: Places,
  { image, platform, destination }: ImageTarget,
  context: ReadContext,
): Promise<BaseImage> {
  const { engineBase, parseImageReference, resolveBase } = await import("@millrace/image");
  const request = { platform, cacheDirectory: imageCache(places), ...context };
  if (image.dockerfile !== undefined) {
    const built = await baseFromDockerfile(
      places,
      image.dockerfile,
      platform,
      destination,
      context,
    );
    const base = await engineBase({ ...request, ...built });
    // Its tag is that of all the files around it: most of them change the base image as little as the one that is put on it.
    return { ...base, reference: image.dockerfile };
  }
  const reference = image.base;
  // Engines give no answer at all to what is none.
  parseImageReference(reference);
  const found = destination.kind === "engine" ? await destination.find(reference, context) : null;
  if (found !== null) return engineBase({ ...request, reference, image: found });
  const credentials = await loginForBase(reference, destination);
  return resolveBase({ ...request, reference, credentials, retry: UNTIL_DEADLINE });
}

/** The deployer's login, where the base lies in the deployer's registry. No other registry is told of it. */
export async function loginForBase(
  base: string,
  destination: ImageTarget["destination"],
): Promise<RegistryCredentials | null> {
  if (destination.kind === "engine") return null;
  const { parseImageReference, parseRepositoryName } = await import("@millrace/image");
  const { registry } = parseRepositoryName(destination.repository);
  return parseImageReference(base).registry === registry ? destination.credentials : null;
}

/** What packages with native code are linked with. An image says nothing of it, but its name mostly does. */
export function libcOf({ base, dockerfile, libc }: ImageSettings): "glibc" | "musl" {
  if (libc !== undefined) return libc;
  return dockerfile === undefined && /alpine/i.test(base) ? "musl" : "glibc";
}

/** In order of how seldom they change. */
async function layersOf(
  workspace: Workspace,
  { id, manifest }: SnapshotToRun,
  { image, platform }: ImageTarget,
  context: ReadContext,
): Promise<LayerInput[]> {
  const { artifacts, fingerprints, loaded } = workspace;
  const { filesIn, installDependencies } = await import("@millrace/image");
  const runtime = await bundleRuntime(join(loaded.home, "cache", "runtimes"), fingerprints);
  const packages = await installDependencies({
    packages: manifest.externals,
    from: artifacts.folderToRun(id, manifest),
    platform,
    libc: libcOf(image),
    at: FOLDER,
    cacheDirectory: imageCache(workspace.loaded),
    ...context,
  });
  const code = await filesIn(artifacts.directory(id), SNAPSHOT_FOLDER);
  return [
    { name: "runtime", files: await filesIn(runtime, RUNTIME_FOLDER) },
    { name: "dependencies", files: packages },
    { name: "code", files: code },
  ];
}

function forEngine(image: Image, destination: EngineDestination): DeploymentImage {
  const digest = image.config.digest.replace("sha256:", "");
  const reference = `${destination.repository}:${digest.slice(0, 32)}`;
  return {
    artefact: { kind: "image", reference, credentials: null },
    async deliver(context) {
      const found = await destination.find(reference, context);
      if (found !== null && hasLayersOf(found, image)) return;
      context.progress("Handing the image to the engine");
      await handOver(image, destination, reference, context);
    },
  };
}

function hasLayersOf({ diffIds }: EngineImage, { layers }: Image): boolean {
  return (
    diffIds.length === layers.length &&
    layers.every(({ diffId }, index) => diffIds[index] === diffId)
  );
}

/**
 * Tries with the user's code alone, which is all that a change needs, then with all layers of ours. An engine that lacks a
 * layer below refuses that, and is at last given all that is not only its own.
 */
export async function handOver(
  image: ArchivedImage,
  destination: Pick<EngineDestination, "load">,
  reference: string,
  context: ReadContext,
): Promise<void> {
  const { imageArchive } = await import("@millrace/image");
  const { layers } = image;
  const diffIds = layers.map(({ diffId }) => diffId);
  const loadFrom = (lowest: number): Promise<void> =>
    destination.load(
      reference,
      imageArchive(image, { reference, present: [diffIds.slice(0, lowest)] }),
      context,
    );
  const least = layers.findIndex(({ blob }) => blob !== null);
  const ours = layers.findIndex(({ name }) => name !== "base");
  for (const lowest of new Set([layers.length - 1, ours])) {
    if (lowest <= least) continue;
    try {
      return await loadFrom(lowest);
    } catch (error) {
      if (!isMillraceError(error) || error.class !== "platform") throw error;
    }
  }
  await loadFrom(least);
}

async function forRegistry(
  image: Image,
  destination: RegistryDestination,
  cacheDirectory: string,
  signal: AbortSignal,
): Promise<DeploymentImage> {
  const { repository } = destination;
  const { findCredentials } = await import("@millrace/image");
  const credentials = destination.credentials ?? (await findCredentials(repository, signal));
  const { manifest } = image;
  if (manifest === null) throw new TypeError("a base that only an engine has cannot be pushed");
  return {
    artefact: { kind: "image", reference: `${repository}@${manifest.digest}`, credentials },
    async deliver(context) {
      const { pushImage } = await import("@millrace/image");
      context.progress(`Pushing the image to ${repository}`);
      // Registries that clean up take an image without a tag for waste.
      const tag = `millrace-${manifest.digest.replace("sha256:", "").slice(0, 12)}`;
      await pushImage(image, {
        repository,
        tag,
        credentials: destination.credentials,
        cacheDirectory,
        retry: UNTIL_DEADLINE,
        ...context,
      });
    },
  };
}
