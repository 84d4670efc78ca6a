import { imageSettingsSchema } from "@millrace/core";
import { z } from "zod";

/** Services that one deployment may have, by the platform's quota. */
const MAX_REPLICAS = 5;

export const fakeSettingsSchema = z.strictObject({
  endpoint: z.url().default("http://127.0.0.1:1").meta({ description: "URL of the platform." }),
  size: z.enum(["small", "large"]).default("small").meta({ description: "Size of the machine." }),
  replicas: z
    .int()
    .min(1)
    .max(MAX_REPLICAS)
    .default(1)
    .meta({ description: "Number of containers." }),
});

export type FakeSettings = z.output<typeof fakeSettingsSchema>;

export const fakeImageSettingsSchema = fakeSettingsSchema.extend({
  image: imageSettingsSchema.prefault({}).meta({ description: "How the image is made." }),
  registry: z.string().optional().meta({
    description:
      "Repository that images are pushed to. Default: the platform is given them directly.",
  }),
});

export type FakeImageSettings = z.output<typeof fakeImageSettingsSchema>;
