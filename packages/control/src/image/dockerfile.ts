import { join } from "node:path";
import {
  type EngineImage,
  type ImagePlatform,
  type ImageTarget,
  MillraceError,
  type ReadContext,
} from "@millrace/core";
import type { LoadedConfig } from "../config/load.ts";

/** The configuration's folder, and the places whose secrets no engine is sent. */
export type Places = Pick<LoadedConfig, "directory" | "home" | "envFile" | "secretFile">;

/** Repository of the images that are built from users' Dockerfiles. */
const REPOSITORY = "millrace-base";

/**
 * The base image that a Dockerfile makes. It is built when the engine has none of just these files; that is the one thing that
 * a plan may make, since only then it is known what would run.
 * @throws MillraceError `DOCKERFILE_NEEDS_ENGINE`, `DOCKERFILE_UNREADABLE`, `DOCKERIGNORE_INVALID`, and what the engine says of the build
 */
export async function baseFromDockerfile(
  { directory, home, envFile, secretFile }: Places,
  dockerfile: string,
  platform: ImagePlatform,
  destination: ImageTarget["destination"],
  context: ReadContext,
): Promise<{ readonly reference: string; readonly image: EngineImage }> {
  if (destination.kind !== "engine" || destination.build === undefined) throw needsEngine();
  const { buildContext } = await import("@millrace/image");
  const secrets = [home, envFile, secretFile];
  const path = join(directory, dockerfile);
  const { digest, open } = await buildContext(path, context.signal, secrets);
  const tag = digest.replace("sha256:", "").slice(0, 32);
  const reference = `${REPOSITORY}:${platform.architecture}-${tag}`;
  const known = await destination.find(reference, context);
  if (known !== null) return { reference, image: known };
  context.progress(`Building the base image from ${dockerfile}`);
  await destination.build(reference, open(), platform, context);
  const image = await destination.find(reference, context);
  if (image !== null) return { reference, image };
  throw new MillraceError({
    class: "platform",
    code: "DOCKERFILE_FAILED",
    message: `The engine built ${dockerfile} and has no image ${reference}.`,
    action: "Deploy again.",
  });
}

function needsEngine(): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "DOCKERFILE_NEEDS_ENGINE",
    message: "A Dockerfile can only be built where the deployer has an engine at hand.",
    action: "Build and push the base image yourself, and name it as the setting `image.base`.",
  });
}
