import { z } from "zod";
import { isDigest } from "./reference.ts";

/** Source: the OCI image specification 1.1, and Docker's image manifest version 2, schema 2. */
export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
export const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
export const OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip";
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
export const DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json";
/** How the names of the format before begin, of which one is signed. */
export const DOCKER_OLD_MANIFEST = "application/vnd.docker.distribution.manifest.v1+";

const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";
/** Docker's names for layers, and OCI's for the same bytes. */
const LAYER_TYPES: Readonly<Record<string, string>> = {
  "application/vnd.docker.image.rootfs.diff.tar": OCI_LAYER,
  "application/vnd.docker.image.rootfs.diff.tar.gzip": OCI_LAYER_GZIP,
  [OCI_LAYER]: OCI_LAYER,
  [OCI_LAYER_GZIP]: OCI_LAYER_GZIP,
  [`${OCI_LAYER}+zstd`]: `${OCI_LAYER}+zstd`,
};

/** OCI's name for a layer's media type; undefined for one that is no layer of a Linux image. */
export function layerType(mediaType: string): string | undefined {
  return LAYER_TYPES[mediaType];
}

const digestSchema = z.string().refine(isDigest, "is no sha256 digest");

const descriptorSchema = z.looseObject({
  mediaType: z.string(),
  digest: digestSchema,
  size: z.int().nonnegative(),
});

export const manifestSchema = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  config: descriptorSchema,
  layers: z.array(descriptorSchema).max(500),
});
export type Manifest = z.output<typeof manifestSchema>;

export const indexSchema = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  manifests: z
    .array(
      descriptorSchema.extend({
        platform: z
          .looseObject({
            os: z.string(),
            architecture: z.string(),
            variant: z.string().optional(),
          })
          .optional(),
      }),
    )
    .max(1000),
});

/** The part `config` of an image's configuration, as far as it matters to an image that is made on top. */
export const executionSchema = z.object({
  Env: z.array(z.string()).nullish(),
  Labels: z.record(z.string(), z.string()).nullish(),
  Volumes: z.record(z.string(), z.strictObject({})).nullish(),
  StopSignal: z.string().nullish(),
});

export const imageConfigSchema = z.looseObject({
  architecture: z.string(),
  os: z.string(),
  variant: z.string().optional(),
  config: z.record(z.string(), z.json()).nullish(),
  rootfs: z.looseObject({ type: z.literal("layers"), diff_ids: z.array(digestSchema) }),
  history: z.array(z.record(z.string(), z.json())).nullish(),
});
