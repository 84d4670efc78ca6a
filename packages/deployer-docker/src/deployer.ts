import {
  type Deployer,
  type DeployerContext,
  type DeployerOptions,
  type DeploymentRequest,
  type DeploymentTarget,
  type FoundDeployment,
  type ImageTarget,
  type LogLine,
  type LogQuery,
  MillraceError,
  type Observation,
  type Plan,
  type ReadContext,
  SERVICE_END_ALLOWANCE_SECONDS,
  type SecretDigests,
  secretDigestsSchema,
} from "@millrace/core";
import { handOverLog } from "./container-log.ts";
import { discoverDeployments } from "./discovery.ts";
import { type Engine, EngineAccess } from "./engine.ts";
import { engineDestination, enginePlatform } from "./engine-destination.ts";
import { logsOf } from "./logs.ts";
import { containerResource, namesOf, networkResource, spoolResource } from "./names.ts";
import { removeNetwork } from "./network.ts";
import { observe } from "./observation.ts";
import { planOf } from "./plan.ts";
import { Provision } from "./provision.ts";
import { mustBeReachable } from "./reachable.ts";
import { DIGESTS_FILE, SECRETS_FOLDER } from "./service-container.ts";
import type { DockerSettings } from "./settings.ts";
import { listNetworks, look, type Sight } from "./sight.ts";
import { handOverLeftSpool, handOverSpool, spoolReader } from "./spool.ts";
import { removeVolumes } from "./volumes.ts";

/** How long requests in flight may take when a deployment goes, in seconds. */
const LAST_DRAIN_SECONDS = 30;

/** Runs each deployment as containers of a Docker engine. */
export class DockerDeployer implements Deployer<DockerSettings> {
  readonly #url: string | undefined;
  readonly #engine: EngineAccess;

  constructor({ settings }: DeployerOptions<DockerSettings>) {
    this.#url = settings.engine;
    this.#engine = new EngineAccess(settings.engine);
  }

  /** Of a deployment nothing is known but its deployer, so that says alone where all of its deployments are. */
  #mustBeHere({ engine }: DockerSettings): void {
    if (engine === undefined || engine === this.#url) return;
    throw new MillraceError({
      class: "usage",
      code: "ENGINE_NOT_OF_DEPLOYER",
      message: `\`engine\` is ${engine} for this deployment alone, and ${this.#url ?? "the default"} for its deployer.`,
      action:
        "Set `engine` in the settings of a deployer in the configuration, and deploy with a stack that has that deployer.",
    });
  }

  async imageTarget(
    { settings }: Pick<DeploymentRequest<DockerSettings>, "settings">,
    context: ReadContext,
  ): Promise<ImageTarget> {
    this.#mustBeHere(settings);
    const engine = await this.#engine.open(context);
    const platform = await enginePlatform(engine, settings.image.architecture);
    return {
      image: settings.image,
      platform,
      destination:
        settings.registry === undefined
          ? engineDestination(this.#engine)
          : { kind: "registry", repository: settings.registry, credentials: null },
    };
  }

  async plan(request: DeploymentRequest<DockerSettings>, context: ReadContext): Promise<Plan> {
    this.#mustBeHere(request.settings);
    const engine = await this.#engine.open(context);
    mustBeReachable(engine.host, request.settings);
    const names = namesOf(request.deployment);
    const sight = await look(engine, request.deployment, names);
    return planOf(names, sight, request, await readSecretDigests(engine, sight));
  }

  async provision(
    request: DeploymentRequest<DockerSettings>,
    context: DeployerContext,
  ): Promise<Observation> {
    this.#mustBeHere(request.settings);
    const engine = await this.#engine.open(context);
    mustBeReachable(engine.host, request.settings);
    const names = namesOf(request.deployment);
    const sight = await new Provision(engine, names, request, context).run();
    return observe(engine, engine.host, names, request.deployment, sight);
  }

  async inspect(target: DeploymentTarget, context: ReadContext): Promise<Observation> {
    const engine = await this.#engine.open(context);
    const names = namesOf(target);
    return observe(engine, engine.host, names, target, await look(engine, target, names));
  }

  /** Waits until requests in flight are answered and all is gone; the signal bounds that. */
  async deprovision(target: DeploymentTarget, context: DeployerContext): Promise<Observation> {
    const engine = await this.#engine.open(context);
    const names = namesOf(target);
    const sight = await look(engine, target, names);
    await removeServices(engine, sight, context);
    if (sight.spool !== null && spoolReader(sight) === null)
      await handOverLeftSpool(engine, target, names, context);
    for (const door of [sight.door, sight.nextDoor])
      if (door !== null) await engine.removeContainer(door.name);
    await removeVolumes(engine, target);
    for (const { Id } of await listNetworks(engine, names)) await removeNetwork(engine, Id);
    for (const name of [names.service, names.next, names.door, names.nextDoor])
      await context.journal.gone(containerResource(name));
    for (const resource of [networkResource(names), spoolResource(names)])
      await context.journal.gone(resource);
    return observe(engine, engine.host, names, target, await look(engine, target, names));
  }

  async discover(context: ReadContext): Promise<readonly FoundDeployment[]> {
    return discoverDeployments(await this.#engine.open(context));
  }

  async *logs(
    target: DeploymentTarget,
    query: LogQuery,
    context: ReadContext,
  ): AsyncGenerator<LogLine> {
    yield* logsOf(this.#engine, target, query, context);
  }
}

async function removeServices(
  engine: Engine,
  sight: Sight,
  context: DeployerContext,
): Promise<void> {
  const services = [sight.service, sight.next].filter((one) => one !== null);
  if (services.length > 0) context.progress("Answering the requests that are in flight");
  await Promise.all(
    services.map(async ({ name, status }) => {
      // A process that is paused hears no signal.
      if (status !== "paused")
        await engine.stopContainer(name, LAST_DRAIN_SECONDS + SERVICE_END_ALLOWANCE_SECONDS);
      await handOverLog(engine, name, context);
    }),
  );
  // Only now nobody writes there any more.
  const reader = spoolReader(sight);
  if (reader !== null) await handOverSpool(engine, reader, context);
  await Promise.all(services.map(({ name }) => engine.removeContainer(name)));
}

/** What is known of the secrets of the container that serves. */
async function readSecretDigests(
  engine: Engine,
  { service }: Sight,
): Promise<SecretDigests | null> {
  if (service === null || !service.hasSecrets) return null;
  const files = await engine.getFiles(service.name, SECRETS_FOLDER);
  const text = files?.get(DIGESTS_FILE);
  return text === undefined ? null : (secretDigestsSchema.safeParse(JSON.parse(text)).data ?? null);
}
