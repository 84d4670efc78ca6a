import {
  type DeployerContext,
  type DeploymentTarget,
  type ErrorClass,
  isMillraceError,
  MillraceError,
  messageOf,
  SERVICE_END_ALLOWANCE_SECONDS,
} from "@millrace/core";
import { handOverLog } from "./container-log.ts";
import {
  DOOR_FOLDER,
  doorFiles,
  doorOptions,
  doorProgram,
  type Endpoint,
  type Place,
  PORT,
} from "./door-container.ts";
import { type Backend, type DoorState, ROUTE_FILE, type Route } from "./door-contract.ts";
import { doorEnds } from "./door-error.ts";
import type { Engine } from "./engine.ts";
import { exitError, failureOf, notReadyError } from "./failure.ts";
import { pullImage } from "./image-pull.ts";
import { listeningAddresses } from "./listening.ts";
import { mustHaveLogDriver } from "./log-driver.ts";
import {
  containerResource,
  hostOf,
  labelsOf,
  type Names,
  networkResource,
  spoolResource,
} from "./names.ts";
import { removeNetwork } from "./network.ts";
import { rememberedEndpoint } from "./observation.ts";
import { portsToTry } from "./port-choice.ts";
import {
  type Request,
  SECRETS_FOLDER,
  secretFiles,
  serviceOptions,
  spoolOf,
  startTimeoutMs,
} from "./service-container.ts";
import {
  type Door,
  hasEnded,
  listNetworks,
  look,
  readDoorState,
  type Service,
  type Sight,
} from "./sight.ts";
import { nextStep, type Step, type StepTo } from "./step.ts";
import { removeVolumes } from "./volumes.ts";

const POLL_MS = 100;
const DOOR_POLL_MS = 20;
/** How long the door may take to follow a new route. */
const ROUTE_MS = 10_000;
/** A process that has only just begun dies of a signal, and would be started again. */
const ASK_AGAIN_MS = 2_000;
/** How long a door may take to end, which has nothing to finish. */
const DOOR_STOP_SECONDS = 1;
/** How often somebody else may be quicker with the same thing. */
const CONFLICTS = 20;

/** After these the same command goes on from what there is. */
const LATER: ReadonlySet<ErrorClass> = new Set(["unreachable", "timeout", "aborted"]);

/** Steps that bring a door to its address. */
const ABOUT_DOORS: ReadonlySet<Step["do"]> = new Set([
  "replace door",
  "remove door",
  "rename door",
  "start door",
]);

/** Takes a deployment to a revision, step by step from what exists. */
export class Provision {
  readonly #engine: Engine;
  readonly #names: Names;
  readonly #request: Request;
  readonly #context: DeployerContext;
  #conflicts = 0;
  /** That this call has made a candidate of its own. */
  #created = false;
  /** That nothing of the deployment was there before. */
  #beganAnew = false;
  /** The door that this call has made. */
  #ownDoor: string | null = null;
  /** Where the door was before this call opened one elsewhere. */
  #before: Endpoint | null = null;

  constructor(engine: Engine, names: Names, request: Request, context: DeployerContext) {
    this.#engine = engine;
    this.#names = names;
    this.#request = request;
    this.#context = context;
  }

  /** @returns What exists when the revision serves, or when it failed. */
  async run(): Promise<Sight> {
    try {
      const sight = await this.#run();
      if (sight !== null) return sight;
      await this.#undo();
      return await this.#look();
    } catch (error) {
      if (!isMillraceError(error) || LATER.has(error.class)) throw error;
      await this.#undo();
      throw error;
    }
  }

  /** @returns Null when the revision failed. */
  async #run(): Promise<Sight | null> {
    for (;;) {
      const sight = await this.#look();
      const step = nextStep(sight, this.#request);
      if (step.do === "nothing") {
        await this.#forgetAbsent(sight);
        return sight;
      }
      try {
        if ((await this.#take(step, sight)) === "failed") return null;
      } catch (error) {
        if (!isConflict(error) || ++this.#conflicts > CONFLICTS) throw error;
        await this.#context.clock.sleep(POLL_MS, this.#context.signal);
      }
    }
  }

  async #undo(): Promise<void> {
    try {
      await (this.#beganAnew ? this.#leaveNothing() : this.#goBack());
    } catch (error) {
      // Why the deploy failed says more; the journal knows what stays.
      this.#context.progress(`What was begun could not be removed: ${messageOf(error)}`);
    }
  }

  /** What serves on after a failed update does so where its callers know it. */
  async #goBack(): Promise<void> {
    if (this.#before === null) return;
    const { settings } = this.#request;
    const wanted = { ...this.#request, settings: { ...settings, ...this.#before } };
    for (;;) {
      const sight = await this.#look();
      const step = nextStep(sight, wanted);
      if (!ABOUT_DOORS.has(step.do)) return;
      await this.#take(step, sight);
    }
  }

  /** A first deploy that was refused before it came to a container of the service has nothing worth keeping. */
  async #leaveNothing(): Promise<void> {
    const { door, next, nextDoor, service } = await this.#look();
    if (next !== null || service !== null) return;
    for (const one of [door, nextDoor]) if (one !== null) await this.#remove(one.name);
    await removeVolumes(this.#engine, this.#target);
    for (const { Id } of await listNetworks(this.#engine, this.#names))
      await removeNetwork(this.#engine, Id);
    for (const resource of [networkResource(this.#names), spoolResource(this.#names)])
      await this.#context.journal.gone(resource);
  }

  get #target(): DeploymentTarget {
    return this.#request.deployment;
  }

  #look(): Promise<Sight> {
    return look(this.#engine, this.#target, this.#names);
  }

  /** What an operation before this one was about to make, and did not. */
  async #forgetAbsent({ next, nextDoor, spool }: Sight): Promise<void> {
    const { inventory } = this.#target;
    const absent = [
      ...(next === null ? [containerResource(this.#names.next)] : []),
      ...(nextDoor === null ? [containerResource(this.#names.nextDoor)] : []),
      ...(spool === null ? [spoolResource(this.#names)] : []),
    ];
    for (const { kind, name } of absent)
      if (inventory.some((one) => one.kind === kind && one.name === name))
        await this.#context.journal.gone({ kind, name });
  }

  async #take(step: Step, sight: Sight): Promise<"done" | "failed"> {
    switch (step.do) {
      case "create network":
        this.#beganAnew = Object.values(sight).every((one) => one === null);
        await this.#createNetwork();
        break;
      case "create spool":
        await this.#createSpool();
        break;
      case "create door":
        await this.#pull();
        await this.#createDoor(step.network, sight);
        break;
      case "replace door":
        await this.#pull();
        await this.#replaceDoor(step);
        break;
      case "rename door":
        await this.#rename(step.door, this.#names.door);
        break;
      case "start door":
        await this.#engine.startContainer(this.#names.door);
        break;
      case "resume door":
        await this.#engine.resumeContainer(this.#names.door);
        break;
      case "remove door":
        if (step.door.id === this.#ownDoor && step.door.status === "restarting")
          throw await doorEnds(this.#engine, step.door.name);
        await this.#remove(step.door.name);
        break;
      case "remove":
        this.#mustBeMine(step.service);
        if (await this.#settle(sight)) await this.#removeService(step.service);
        break;
      case "drain":
        await this.#drain(step.service);
        break;
      case "rename":
        await this.#rename(step.service, this.#names.service);
        break;
      case "create":
        await this.#pull();
        await this.#settle(sight);
        await this.#createService(this.#names[step.name], step.network);
        break;
      case "start":
        await this.#startService(step.service.name, step.service.id);
        break;
      case "await":
        return this.#bringIntoService(step.service);
      case "keep up":
        await this.#engine.setRestartPolicy(step.service.name, this.#request.settings.restart);
        break;
      case "settle":
        await this.#settle(sight);
        break;
      case "nothing":
        break;
    }
    return "done";
  }

  /** An image that was handed to the engine is there already. */
  async #pull(): Promise<void> {
    const { artefact, settings } = this.#request;
    if (artefact.kind !== "image" || settings.registry === undefined) return;
    await pullImage(this.#engine, artefact, this.#context);
  }

  async #createNetwork(): Promise<void> {
    const resource = networkResource(this.#names);
    await this.#context.journal.intend(resource);
    await this.#engine.ask(`create the network ${resource.name}`, ({ abortSignal }) =>
      this.#engine.docker.createNetwork({
        Name: resource.name,
        CheckDuplicate: true,
        Labels: labelsOf(this.#target, "network"),
        abortSignal,
      }),
    );
    const [first, ...others] = await listNetworks(this.#engine, this.#names);
    for (const { Id } of others) await removeNetwork(this.#engine, Id);
    if (first !== undefined) await this.#context.journal.present(resource, first.Id);
  }

  /** The engine would make it with the first container, which tells nobody. */
  async #createSpool(): Promise<void> {
    const resource = spoolResource(this.#names);
    await this.#context.journal.intend(resource);
    await this.#engine.ask(`create the volume ${resource.name}`, ({ abortSignal }) =>
      this.#engine.docker.createVolume({
        Name: resource.name,
        Driver: "local",
        Labels: labelsOf(this.#target, "spool"),
        abortSignal,
      }),
    );
    await this.#context.journal.present(resource);
  }

  /** Tries ports until one is free. Where something of the deployment runs, its callers know the one that it had. */
  async #createDoor(network: string, { next, service }: Sight): Promise<void> {
    const { settings } = this.#request;
    const place = { name: this.#names.door, network };
    const route = { target: null, candidate: this.#candidate, failure: null };
    const before = rememberedEndpoint(this.#target);
    const isKnown = before?.bind === settings.bind && (next !== null || service !== null);
    const ports = portsToTry(this.#target.id, settings, before).slice(0, isKnown ? 1 : undefined);
    for (const [index, port] of ports.entries()) {
      const id = await this.#makeDoor(place, { bind: settings.bind, port });
      try {
        await this.#giveRoute(place.name, route);
        await this.#engine.startContainer(place.name);
        return await this.#context.journal.present(containerResource(place.name), id);
      } catch (error) {
        const isLast = index === ports.length - 1;
        if (!isMillraceError(error) || error.code !== "PORT_IN_USE") throw error;
        await this.#remove(place.name);
        if (isLast) throw portTaken(settings.bind, ports, error);
      }
    }
  }

  /** The old one goes, in a step of its own, when this one is known to work. */
  async #replaceDoor({ door, endpoint, network }: StepTo<"replace door">): Promise<void> {
    const { nextDoor: name } = this.#names;
    const { target = null, failure = null } = door.state ?? {};
    this.#before ??= door.endpoint;
    // Two cannot have one port, also of two addresses where one means all.
    const makesWay = endpoint.port === door.endpoint.port;
    const id = await this.#makeDoor({ name, network }, endpoint);
    try {
      await this.#giveRoute(name, { target, candidate: null, failure });
      if (makesWay) await this.#engine.stopContainer(door.name, DOOR_STOP_SECONDS);
      await this.#engine.startContainer(name);
      await this.#hear(name, () => true);
    } catch (error) {
      if (!isMillraceError(error) || LATER.has(error.class)) throw error;
      await this.#remove(name);
      if (makesWay) await this.#engine.startContainer(door.name);
      throw error.code === "PORT_IN_USE" ? portTaken(endpoint.bind, [endpoint.port], error) : error;
    }
    await this.#context.journal.present(containerResource(name), id);
  }

  async #makeDoor(place: Place, endpoint: Endpoint): Promise<string> {
    const { artefact } = this.#request;
    if (artefact.kind !== "image") throw new TypeError("the flavor declares that it runs images");
    this.#context.progress(`Opening port ${endpoint.port}`);
    await this.#context.journal.intend(containerResource(place.name));
    const id = await this.#engine.createContainer(
      doorOptions(this.#target, place, endpoint, artefact.reference),
    );
    this.#ownDoor = id;
    return id;
  }

  /** What a door does from its start on. */
  async #giveRoute(name: string, route: Omit<Route, "sequence">): Promise<void> {
    const files = doorFiles(await doorProgram(), { sequence: 0, ...route });
    await this.#engine.putFiles(name, "/", files);
  }

  async #createService(name: string, network: string): Promise<void> {
    await mustHaveLogDriver(this.#engine, this.#request.settings.logDriver);
    this.#context.progress("Starting the container");
    await this.#context.journal.intend(containerResource(name));
    const id = await this.#engine.createContainer(serviceOptions(this.#request, { name, network }));
    this.#created = true;
    await this.#startService(name, id);
  }

  async #startService(name: string, id: string): Promise<void> {
    const { secrets, settings } = this.#request;
    try {
      for (const network of settings.networks) await this.#join(name, network);
      if (Object.keys(secrets).length > 0)
        await this.#engine.putFiles(name, SECRETS_FOLDER, secretFiles(secrets));
      const spool = spoolOf(this.#request);
      if (spool !== null) await this.#engine.putFiles(name, spool.folder, spool.files);
      await this.#engine.startContainer(name);
    } catch (error) {
      if (isMillraceError(error) && error.class !== "unreachable") await this.#remove(name);
      throw error;
    }
    await this.#context.journal.present(containerResource(name), id);
  }

  /** One that it has joined already answers with 403. */
  #join(container: string, network: string): Promise<unknown> {
    return this.#engine.ask(`join the network ${network}`, () =>
      this.#engine.docker
        .getNetwork(network)
        .connect({ Container: container })
        .catch((thrown: { readonly statusCode?: number }) => {
          if (thrown.statusCode !== 403) throw thrown;
        }),
    );
  }

  async #bringIntoService(service: Service): Promise<"done" | "failed"> {
    const { host } = this.#candidate;
    const { target, candidate } = await this.#hear(this.#names.door, () => true);
    // A new door was given its candidate with its first route.
    if (target?.host !== host && candidate?.host !== host)
      await this.#route({ target, candidate: this.#candidate, failure: null });
    const error = await this.#untilTarget(service);
    if (error !== null) {
      const failure = failureOf(service.revision, error);
      await this.#route({ target, candidate: null, failure });
      // The container stays as it ended, for its log; the next deploy removes it.
      await this.#engine.stopContainer(service.name, 1);
      return "failed";
    }
    this.#context.progress("Requests go to the new container");
    return "done";
  }

  /** What shall serve, as the door knows it. */
  get #candidate(): Backend & { readonly revision: string } {
    const { revision } = this.#request;
    return { host: hostOf(revision), port: PORT, revision };
  }

  /** Null once the door sends everybody there, or why it will not be ready. */
  async #untilTarget(service: Service): Promise<MillraceError | null> {
    const { clock, signal } = this.#context;
    const began = clock.now();
    const limit = startTimeoutMs(this.#request);
    const { host } = this.#candidate;
    this.#context.progress("Waiting until the container is ready");
    for (;;) {
      const { door, ...services } = await this.#look();
      if (door?.state?.target?.host === host) return null;
      const now = [services.service, services.next].find((one) => one?.id === service.id) ?? null;
      if (now === null) throw takenOver(service.name);
      if (hasEnded(now)) return exitError(this.#engine, now);
      if (clock.now() - began > limit) {
        const listening = await listeningAddresses(this.#engine, service.name);
        const detail = door?.state?.candidate?.detail ?? null;
        return notReadyError(this.#engine, now, limit / 1000, detail, listening);
      }
      await clock.sleep(POLL_MS, signal);
    }
  }

  async #drain(service: Service): Promise<void> {
    this.#context.progress("Answering the requests that the old container has begun");
    await this.#removeService(service);
  }

  /** Its log is whole only when it has ended. */
  async #removeService({ name, status }: Service): Promise<void> {
    const { drainSeconds } = this.#request.serving;
    // A process that is paused hears no signal.
    if (status !== "paused")
      await this.#engine.stopContainer(name, drainSeconds + SERVICE_END_ALLOWANCE_SECONDS);
    await handOverLog(this.#engine, name, this.#context);
    await this.#remove(name);
  }

  async #rename({ id, name }: Service | Door, wanted: string): Promise<void> {
    const to = containerResource(wanted);
    await this.#context.journal.intend(to);
    await this.#engine.renameContainer(name, wanted);
    await this.#context.journal.present(to, id);
    await this.#context.journal.gone(containerResource(name));
  }

  async #remove(name: string): Promise<void> {
    await this.#engine.removeContainer(name);
    await this.#context.journal.gone(containerResource(name));
  }

  /** Lets the door wait for nothing and say nothing of a failure. False where it has just sent everybody elsewhere. */
  async #settle({ door }: Sight): Promise<boolean> {
    if (door?.status !== "running" || door.state === null) return true;
    const { target, candidate, failure } = door.state;
    if (candidate === null && failure === null) return true;
    const now = await readDoorState(this.#engine, door.name);
    if (now?.target?.host !== target?.host) return false;
    await this.#route({ target, candidate: null, failure: null });
    return true;
  }

  /** Gives the door a route and waits until it follows it. */
  async #route(route: Omit<Route, "sequence">): Promise<void> {
    const sequence = this.#context.clock.now();
    const content = JSON.stringify({ sequence, ...route } satisfies Route);
    await this.#engine.putFiles(this.#names.door, DOOR_FOLDER, [
      { path: ROUTE_FILE, content, mode: 0o644 },
    ]);
    await this.#engine.signalContainer(this.#names.door, "SIGHUP");
    await this.#hear(this.#names.door, (state) => state.sequence === sequence);
  }

  /** Waits until a door says what is wanted; asks it again when it is silent. */
  async #hear(door: string, isWanted: (state: DoorState) => boolean): Promise<DoorState> {
    const { clock, signal } = this.#context;
    const deadline = clock.now() + ROUTE_MS;
    for (let asks = clock.now() + ASK_AGAIN_MS; ; ) {
      const state = await readDoorState(this.#engine, door);
      if (state !== null && isWanted(state)) return state;
      const now = clock.now();
      if (now > deadline) throw doorDeaf(door);
      if (now > asks) {
        await this.#wake(door);
        asks = now + ASK_AGAIN_MS;
      }
      await clock.sleep(DOOR_POLL_MS, signal);
    }
  }

  async #wake(door: string): Promise<void> {
    const container = await this.#engine.inspectContainer(door);
    if (container?.State.Status === "restarting") throw await doorEnds(this.#engine, door);
    await this.#engine.signalContainer(door, "SIGHUP");
  }

  /** Another deploy at the same time has put its own candidate in the place of ours. */
  #mustBeMine({ name, revision }: Service): void {
    if (this.#created && revision !== this.#request.revision) throw takenOver(name);
  }
}

function isConflict(error: unknown): boolean {
  return isMillraceError(error) && error.code === "DOCKER_CONFLICT";
}

function takenOver(name: string): MillraceError {
  return new MillraceError({
    class: "conflict",
    code: "DEPLOY_OVERTAKEN",
    message: `Somebody else has put another container in the place of ${name}.`,
    action: "Wait until the other deploy is done and run the command again.",
  });
}

function portTaken(bind: string, ports: readonly number[], cause: MillraceError): MillraceError {
  const [first] = ports;
  const which = ports.length === 1 ? `Port ${first}` : `Every port that was tried (${first} …)`;
  return new MillraceError({
    class: "conflict",
    code: "PORT_IN_USE",
    message: `${which} of ${bind} is in use on the engine's machine: ${cause.message}`,
    action: `Choose another \`${ports.length === 1 ? "port" : "portRange"}\`, or end what holds it (\`docker ps\` shows containers with their ports).`,
    cause,
  });
}

function doorDeaf(name: string): MillraceError {
  return new MillraceError({
    class: "platform",
    code: "DOOR_UNRESPONSIVE",
    message: `The container ${name} does not follow its new route.`,
    action: `See \`docker logs ${name}\`; deploy again, or remove the container and deploy again.`,
    retryable: false,
  });
}
