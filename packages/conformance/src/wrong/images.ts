import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type DeployerContext,
  type DeployerOptions,
  type DeploymentRequest,
  type EngineDestination,
  type EngineImage,
  type ImageTarget,
  isMillraceError,
  MillraceError,
  type Observation,
  type ReadContext,
} from "@millrace/core";
import type { Names } from "../fake/deployer.ts";
import { FakeImageDeployer } from "../fake/image-deployer.ts";
import type { ServiceView, Spec } from "../fake/records.ts";
import type { FakeImageSettings } from "../fake/settings.ts";
import { wrongAboutImages } from "./wrong-deployer.ts";

type Request = DeploymentRequest<FakeImageSettings>;
type TargetRequest = Pick<Request, "deployment" | "settings">;

/** Makes a place for the image as soon as it is asked for one. */
class MakesPlace extends FakeImageDeployer {
  override async imageTarget(request: TargetRequest, context: ReadContext): Promise<ImageTarget> {
    const { name } = this.names(request.deployment).secrets;
    const tags = this.tags(request.deployment);
    await this.client.putSecret(name, { tags, values: {} }, context.signal);
    return super.imageTarget(request, context);
  }
}

/** Keeps the images of every deployment apart, by its name. */
class PlacesByName extends FakeImageDeployer {
  override async imageTarget(request: TargetRequest, context: ReadContext): Promise<ImageTarget> {
    const target = await super.imageTarget(request, context);
    const repository = `fake-${request.deployment.name.toLowerCase()}`;
    return { ...target, destination: { ...target.destination, repository } };
  }
}

/** Names a tag where a repository is asked for. */
class NamesTag extends FakeImageDeployer {
  protected override engine(): EngineDestination {
    return { ...super.engine(), repository: "fake:latest" };
  }
}

/** Knows better what its platform runs. */
class KnowsArchitecture extends FakeImageDeployer {
  override async imageTarget(request: TargetRequest, context: ReadContext): Promise<ImageTarget> {
    const target = await super.imageTarget(request, context);
    return { ...target, platform: { os: "linux", architecture: "amd64" } };
  }
}

/** Knows the base image and nothing else. */
class FindsNothing extends FakeImageDeployer {
  protected override engine(): EngineDestination {
    const engine = super.engine();
    return {
      ...engine,
      find: async (reference, context) =>
        reference.startsWith(engine.repository) ? null : engine.find(reference, context),
    };
  }
}

/** Writes down which images it was given, and believes it. */
class RemembersImages extends FakeImageDeployer {
  readonly #file: string;

  constructor(options: DeployerOptions<FakeImageSettings>) {
    super(options);
    this.#file = join(options.stateDirectory, "images.json");
  }

  #known(): Record<string, EngineImage> {
    try {
      return JSON.parse(readFileSync(this.#file, "utf8"));
    } catch {
      return {};
    }
  }

  protected override engine(): EngineDestination {
    const engine = super.engine();
    return {
      ...engine,
      find: async (reference, context) =>
        this.#known()[reference] ?? engine.find(reference, context),
      load: async (reference, archive, context) => {
        await engine.load(reference, archive, context);
        const image = await engine.find(reference, context);
        if (image !== null)
          writeFileSync(this.#file, JSON.stringify({ ...this.#known(), [reference]: image }));
      },
    };
  }
}

/** Runs the image that serves already when the wanted one is missing. */
class RunsWhatItHas extends FakeImageDeployer {
  protected override async updateService(
    ...[key, request, spec, strategy, signal]: Parameters<FakeImageDeployer["updateService"]>
  ): Promise<ServiceView> {
    try {
      return await super.updateService(key, request, spec, strategy, signal);
    } catch (error) {
      if (!isMillraceError(error) || error.class !== "platform") throw error;
      const { image = null } = (await this.client.readService(key.name, signal))?.spec ?? {};
      return super.updateService(key, request, { ...spec, image }, strategy, signal);
    }
  }
}

/** Fails with another error than the right one. */
function failing(change: (error: MillraceError) => MillraceError): typeof FakeImageDeployer {
  return class extends FakeImageDeployer {
    override async provision(request: Request, context: DeployerContext): Promise<Observation> {
      try {
        return await super.provision(request, context);
      } catch (error) {
        throw isMillraceError(error) ? change(error) : error;
      }
    }
  };
}

/** Ends what serves before it is known that there is something to take its place. */
class ClearsFirst extends FakeImageDeployer {
  protected override async putService(
    request: Request,
    names: Names,
    context: DeployerContext,
  ): Promise<void> {
    const found = await this.client.readService(names.service.name, context.signal);
    if (found !== null && found.spec.revision !== request.revision)
      await this.removeService(names.service, context);
    await super.putService(request, names, context);
  }
}

/** Tells which login the platform pulls with. */
class TellsLogin extends FakeImageDeployer {
  override provision(request: Request, context: DeployerContext): Promise<Observation> {
    const login = this.login(request);
    context.progress(`Pulling as ${login?.username}:${login?.password}`);
    return super.provision(request, context);
  }
}

/** Leaves the login where the platform can read it again. */
class TagsLogin extends FakeImageDeployer {
  protected override updateService(
    ...[key, request, spec, strategy, signal]: Parameters<FakeImageDeployer["updateService"]>
  ): Promise<ServiceView> {
    return super.updateService(key, request, this.#withLogin(request, spec), strategy, signal);
  }

  protected override createService(
    ...[key, request, spec, signal]: Parameters<FakeImageDeployer["createService"]>
  ): Promise<ServiceView> {
    return super.createService(key, request, this.#withLogin(request, spec), signal);
  }

  #withLogin(request: Parameters<FakeImageDeployer["login"]>[0], spec: Spec): Spec {
    const login = Buffer.from(JSON.stringify(this.login(request))).toString("hex");
    return { ...spec, environment: { ...spec.environment, REGISTRY_LOGIN: login } };
  }
}

function remade(
  error: MillraceError,
  over: Partial<Pick<MillraceError, "class" | "message" | "retryable">>,
): MillraceError {
  const { class: errorClass, code, message, action, retryable, cause } = error;
  const same = { class: errorClass, code, message, action, retryable, cause };
  return new MillraceError({ ...same, ...over });
}

export const wrongImages = [
  wrongAboutImages("IMG-01", "makes-place", "engine", /imageTarget changed/, MakesPlace),
  wrongAboutImages("IMG-02", "places-by-name", "engine", /another deployment/, PlacesByName),
  wrongAboutImages("IMG-02", "names-tag", "engine", /has a tag/, NamesTag),
  wrongAboutImages("IMG-03", "finds-nothing", "engine", /delivered again/, FindsNothing),
  wrongAboutImages("IMG-04", "remembers-images", "engine", /no image/, RemembersImages),
  wrongAboutImages("IMG-05", "runs-what-it-has", "engine", /should have failed/, RunsWhatItHas),
  wrongAboutImages(
    "IMG-05",
    "hides-what-is-missing",
    "registry",
    /does not say which/,
    failing((error) => remade(error, { message: "The image is missing." })),
  ),
  wrongAboutImages(
    "IMG-06",
    "knows-architecture",
    "engine",
    /another architecture/,
    KnowsArchitecture,
  ),
  wrongAboutImages("REG-01", "tells-login", "registry", /what the deployer says/, TellsLogin),
  wrongAboutImages("REG-01", "shows-login", "registry", /what the platform shows/, TagsLogin),
  wrongAboutImages(
    "REG-02",
    "denied-is-retried",
    "registry",
    /which is retryable/,
    failing((error) => remade(error, { retryable: true })),
  ),
  wrongAboutImages(
    "REG-03",
    "registry-trouble-is-final",
    "registry",
    /not retryable/,
    failing((error) => remade(error, { retryable: false })),
  ),
  wrongAboutImages("REG-03", "clears-first", "registry", /does not answer/, ClearsFirst),
];
