import {
  type Deployer,
  type DeploymentRequest,
  type EngineDestination,
  type ImageTarget,
  type ReadContext,
  type RegistryDestination,
  Secret,
} from "@millrace/core";
import { FakeDeployer } from "./deployer.ts";
import type { FakeImageSettings } from "./settings.ts";

type TargetRequest = Pick<DeploymentRequest<FakeImageSettings>, "deployment" | "settings">;

/** The reference deployer of a platform that runs images: handed over to it, or pulled from a registry that it has a login for. */
export class FakeImageDeployer extends FakeDeployer implements Deployer<FakeImageSettings> {
  async imageTarget({ settings }: TargetRequest, { signal }: ReadContext): Promise<ImageTarget> {
    const { image, registry } = settings;
    return {
      image,
      platform: { os: "linux", architecture: image.architecture ?? "amd64" },
      destination: registry === undefined ? this.engine() : await this.registry(registry, signal),
    };
  }

  protected engine(): EngineDestination {
    return {
      kind: "engine",
      repository: "fake",
      find: (reference, { signal }) => this.client.readImage(reference, signal),
      load: (reference, archive, { signal }) => this.client.putImage(reference, archive, signal),
    };
  }

  /** The platform gives the login out to those who may use it. */
  protected async registry(repository: string, signal: AbortSignal): Promise<RegistryDestination> {
    const { username, password } = await this.client.readRegistryLogin(signal);
    return {
      kind: "registry",
      repository,
      credentials: { username, password: new Secret(password) },
    };
  }
}
