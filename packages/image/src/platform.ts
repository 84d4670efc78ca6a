import { ARCHITECTURES, type ImagePlatform, MillraceError } from "@millrace/core";

/** `linux/arm64` */
export function formatPlatform(platform: {
  readonly os: string;
  readonly architecture: string;
}): string {
  return `${platform.os}/${platform.architecture}`;
}

/** True when an image that says this of itself runs on the platform. */
export function isFor(
  found: { readonly os: string; readonly architecture: string },
  platform: ImagePlatform,
): boolean {
  return formatPlatform(found) === formatPlatform(platform);
}

/** The error for an image that is there, but not for the platform. */
export function wrongPlatform(
  reference: string,
  wanted: ImagePlatform,
  available: readonly { readonly os: string; readonly architecture: string }[],
): MillraceError {
  const found = [...new Set(available.map(formatPlatform))].sort();
  const [only] = found;
  return new MillraceError({
    class: "usage",
    code: "IMAGE_PLATFORM",
    message:
      found.length === 1
        ? `The base image ${reference} is for ${only}, and ${formatPlatform(wanted)} is needed.`
        : `The base image ${reference} is not there for ${formatPlatform(wanted)}; available: ${found.join(", ") || "nothing"}.`,
    action: `Choose a base image for ${formatPlatform(wanted)}, or set image.architecture to one of ${ARCHITECTURES.join(", ")} that the base image is for and the platform runs.`,
    details: { reference, wanted: formatPlatform(wanted), available: found },
  });
}
