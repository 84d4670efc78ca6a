import type { EngineImage, ImagePlatform } from "@millrace/core";
import type { BaseImage } from "./image.ts";
import { isFor, wrongPlatform } from "./platform.ts";
import { formatImageReference, parseImageReference } from "./reference.ts";

/**
 * An image that an engine has, as a base. Its layers stay in the engine: what is put on it can be loaded there, and not
 * be pushed.
 * @throws MillraceError IMAGE_PLATFORM when it is for another platform.
 */
export function engineBase(
  reference: string,
  image: EngineImage,
  platform: ImagePlatform,
): BaseImage {
  const name = formatImageReference(parseImageReference(reference));
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
