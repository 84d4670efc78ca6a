export { type ArchivedImage, type ArchiveOptions, imageArchive } from "./archive.ts";
export {
  type AssembleRequest,
  assembleImage,
  type ImageConfig,
  type LayerInput,
} from "./assemble.ts";
export { type BaseRequest, resolveBase } from "./base.ts";
export { type BuildContext, buildContext } from "./build-context.ts";
export { type DependenciesRequest, installDependencies } from "./dependencies/install.ts";
export { layOut, type Needing, type Place } from "./dependencies/layout.ts";
export { type EngineBaseRequest, engineBase } from "./engine-base.ts";
export { filesIn, type LayerFile } from "./files.ts";
export type { BaseImage, Blob, Context, Document, Image, Layer } from "./image.ts";
export { type PushedBlob, type PushRequest, type PushResult, pushImage } from "./push.ts";
export {
  formatImageReference,
  type ImageReference,
  parseImageReference,
  parseRepositoryName,
  type RepositoryName,
} from "./reference.ts";
export { findCredentials } from "./registry/docker-login.ts";
export type { RetryPolicy } from "./registry/retry.ts";
