import { canonicalJson, MillraceError } from "@millrace/core";
import { single } from "./chunks.ts";
import type { Blob, Image } from "./image.ts";
import { OCI_INDEX, OCI_MANIFEST } from "./media-types.ts";
import { formatImageReference, parseImageReference } from "./reference.ts";
import { type TarEntry, writeTar } from "./tar.ts";

/** What an archive is made of. */
export type ArchivedImage = Pick<Image, "config" | "layers" | "manifest" | "platform">;

export interface ArchiveOptions {
  /** Repository with tag that the engine shall know the image by. */
  readonly reference: string;
  /** `diffIds` of images that the engine has: what the image has in common with one of them is left out. */
  readonly present: readonly (readonly string[])[];
}

/** How many of the lowest layers two images share. An engine knows a layer only together with all below it. */
function shared(a: readonly string[], b: readonly string[]): number {
  const differs = a.findIndex((diffId, index) => diffId !== b[index]);
  return differs === -1 ? a.length : differs;
}

function fileEntry(path: string, content: Uint8Array | string): TarEntry {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  return { path, kind: "file", executable: false, size: bytes.length, open: () => single(bytes) };
}

function blobPath(digest: string): string {
  return `blobs/${digest.replace(":", "/")}`;
}

/** What engines with an image store of containerd read in place of `manifest.json`. */
function ociLayout(image: ArchivedImage, reference: string): TarEntry[] {
  const { manifest } = image;
  if (manifest === null) return [];
  const described = {
    mediaType: OCI_MANIFEST,
    digest: manifest.digest,
    size: manifest.bytes.length,
    annotations: {
      "io.containerd.image.name": formatImageReference(parseImageReference(reference)),
      "org.opencontainers.image.ref.name": reference.slice(reference.lastIndexOf(":") + 1),
    },
    platform: image.platform,
  };
  return [
    fileEntry(
      "index.json",
      canonicalJson({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [described] }),
    ),
    fileEntry("oci-layout", canonicalJson({ imageLayoutVersion: "1.0.0" })),
    fileEntry(blobPath(manifest.digest), manifest.bytes),
  ];
}

/**
 * An archive that `docker load` takes.
 *
 * Layers that the engine has are left out: it asks its store before it opens a layer's file (moby,
 * image/tarexport/load.go, and containerd, client/import.go).
 * @throws MillraceError IMAGE_LAYER_ELSEWHERE when a layer is neither here nor in one of the present images.
 */
export function imageArchive(
  image: ArchivedImage,
  options: ArchiveOptions,
): AsyncIterable<Uint8Array> {
  const { reference, present } = options;
  const diffIds = image.layers.map(({ diffId }) => diffId);
  const skipped = Math.max(0, ...present.map((other) => shared(diffIds, other)));
  const sent = new Map<string, Blob>();
  for (const { name, diffId, blob } of image.layers.slice(skipped)) {
    if (blob === null)
      throw new MillraceError({
        class: "conflict",
        code: "IMAGE_LAYER_ELSEWHERE",
        message: `The layer ${diffId} (${name}) is only in an engine, and that engine does not have it any more.`,
        action: "Make the base image available again and repeat the command.",
      });
    sent.set(blob.digest, blob);
  }
  const manifest = [
    {
      Config: blobPath(image.config.digest),
      RepoTags: [reference],
      Layers: image.layers.map(({ diffId, blob }) => blobPath(blob?.digest ?? diffId)),
    },
  ];
  const entries = [
    fileEntry("manifest.json", canonicalJson(manifest)),
    fileEntry(blobPath(image.config.digest), image.config.bytes),
    ...ociLayout(image, reference),
    ...[...sent.values()].map(
      (blob): TarEntry => ({
        path: blobPath(blob.digest),
        kind: "file",
        executable: false,
        size: blob.size,
        open: () => blob.open(),
      }),
    ),
  ];
  return writeTar(entries);
}
