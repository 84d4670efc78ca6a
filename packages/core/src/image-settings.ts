import { z } from "zod";

/** Processor architectures that images are made for. */
export const ARCHITECTURES = ["amd64", "arm64"] as const;

/** How the image of a deployment is made: the setting `image` of every flavor that runs images. */
export const imageSettingsSchema = z.strictObject({
  base: z.string().min(1).max(512).default("node:24-slim").meta({
    description:
      "Image that the layers of a deployment are put on: a reference with tag or digest. It must have Node 22.18 or newer as `node` on its PATH.",
  }),
  dockerfile: z.string().min(1).optional().meta({
    description:
      "Dockerfile for system packages, relative to the configuration's folder; the engine builds the base image from it. Takes the place of `base`.",
  }),
  architecture: z
    .enum(ARCHITECTURES)
    .optional()
    .meta({ description: "Processor that the image is for. Default: the platform's own." }),
  libc: z.enum(["glibc", "musl"]).optional().meta({
    description:
      "C library of the base image, which packages with native code are chosen for. Default: musl where the base image's name says alpine, else glibc.",
  }),
});

/** Effective settings: every default filled in. */
export type ImageSettings = z.output<typeof imageSettingsSchema>;
