import { existsSync, rmSync } from "node:fs";
import {
  type Deployer,
  type DeployerContext,
  type DeployerOptions,
  type DeploymentRequest,
  type DeploymentTarget,
  isMillraceError,
  type LogLine,
  type LogQuery,
  MillraceError,
  type Observation,
  type Plan,
  type ReadContext,
} from "@millrace/core";
import { askSupervisor } from "./control-client.ts";
import type { State, Status } from "./control-protocol.ts";
import { tryListen } from "./listening-socket.ts";
import { withLock } from "./lock.ts";
import { readLogs } from "./log-reader.ts";
import {
  folderResource,
  observe,
  observeAbsent,
  observeGone,
  processResource,
  rememberedEndpoint,
} from "./observation.ts";
import { type Places, placesOf } from "./places.ts";
import { isSettled, mustMove, planStart, planUpdate } from "./plan.ts";
import { listenWhereWanted } from "./port-choice.ts";
import { readPresence, removePresence } from "./presence.ts";
import { isAlive, killProcess, type ProcessIdentity } from "./process-identity.ts";
import { removeAllSecretFiles } from "./secret-files.ts";
import type { LocalSettings } from "./settings.ts";
import { specOf } from "./spec.ts";
import { readState } from "./state-file.ts";
import { startSupervisor } from "./supervisor-start.ts";
import { findWorkers } from "./worker-search.ts";

/** How long a supervisor whose socket is gone may take to make it anew. */
const REAPPEAR_MS = 3_000;
const POLL_MS = 10;

/** Runs each deployment as a supervisor process of its own on this machine. */
export class LocalDeployer implements Deployer<LocalSettings> {
  readonly #stateDirectory: string;

  /** @throws MillraceError `PLATFORM_UNSUPPORTED` on systems other than Linux and macOS. */
  constructor(options: DeployerOptions) {
    if (process.platform !== "linux" && process.platform !== "darwin") {
      throw new MillraceError({
        class: "platform",
        code: "PLATFORM_UNSUPPORTED",
        message: `Deployers of flavor local do not run on ${process.platform}.`,
        action: "Use Linux or macOS (on Windows: WSL), or a deployer of another flavor.",
      });
    }
    this.#stateDirectory = options.stateDirectory;
  }

  async plan(request: DeploymentRequest<LocalSettings>, context: ReadContext): Promise<Plan> {
    const places = this.#placesOf(request.deployment);
    const status = await findSupervisor(places, context);
    return status === null || status.stopping
      ? planStart(places, existsSync(places.folder))
      : planUpdate(places, status, request);
  }

  async provision(
    request: DeploymentRequest<LocalSettings>,
    context: DeployerContext,
  ): Promise<Observation> {
    const places = this.#placesOf(request.deployment);
    await context.journal.intend(folderResource(places));
    await context.journal.intend(processResource(places));
    const status = await this.#handOver(places, request, context);
    await context.journal.present(folderResource(places), places.folder);
    await context.journal.present(processResource(places), String(status.pid));
    return observe(places, status);
  }

  async inspect(target: DeploymentTarget, context: ReadContext): Promise<Observation> {
    return look(this.#placesOf(target), target, context);
  }

  /** Waits until requests in flight are answered and all is gone; the signal bounds that. */
  async deprovision(target: DeploymentTarget, context: DeployerContext): Promise<Observation> {
    const places = this.#placesOf(target);
    let last = await look(places, target, context);
    for (let seen = last; seen.state !== "absent"; seen = await look(places, target, context)) {
      last = seen;
      const status = await findSupervisor(places, context);
      if (status === null) await removeLeftovers(places, context);
      else await stopSupervisor(places, status, true, context);
    }
    await endStrayWorkers(places, context);
    await removeStalePresence(places, context);
    await context.journal.gone(processResource(places));
    await context.journal.gone(folderResource(places));
    return observeAbsent(rememberedEndpoint(last));
  }

  async *logs(
    target: DeploymentTarget,
    query: LogQuery,
    context: ReadContext,
  ): AsyncGenerator<LogLine> {
    yield* readLogs(this.#placesOf(target).logs, query, context);
  }

  /** Brings the request to a supervisor, starting one where none is. */
  async #handOver(
    places: Places,
    request: DeploymentRequest<LocalSettings>,
    context: DeployerContext,
  ): Promise<Status> {
    const spec = specOf(request);
    for (;;) {
      context.signal.throwIfAborted();
      const found =
        (await findSupervisor(places, context)) ?? (await this.#start(places, request, context));
      if (found.stopping) {
        await untilGone(places, found, context);
      } else if (mustMove(found, spec.settings)) {
        await this.#move(places, found, request, context);
      } else if (isSettled(found, spec.revision) && found.rollout?.revision === spec.revision) {
        return found;
      } else {
        const update = { type: "update", spec, secrets: revealed(request) } as const;
        const updated = await askSupervisor(places, update, context.signal);
        if (updated !== null) return updated;
      }
    }
  }

  async #start(
    places: Places,
    request: DeploymentRequest<LocalSettings>,
    context: DeployerContext,
  ): Promise<Status> {
    await endLostSupervisor(places, context);
    const leftovers = [...(stateIfReadable(places)?.workers ?? []), ...findWorkers(places)];
    // A supervisor is there before its workers: if none is there now, those that were found are nobody's.
    const other = await askSupervisor(places, { type: "status" }, context.signal);
    if (other !== null) return other;
    try {
      const listening = await listenWhereWanted(places, request, leftovers, context);
      return await startSupervisor(
        { stateDirectory: this.#stateDirectory, places, request, listening },
        context,
      );
    } catch (error) {
      // Another provision at the same time may have been quicker, and its supervisor may be what has the port.
      const quicker = await askSupervisor(places, { type: "status" }, context.signal);
      if (quicker === null) throw error;
      return quicker;
    }
  }

  /**
   * A supervisor has one address for life. The new address is taken first, so that nothing changes if that fails. Another
   * host on the same port can be in the way of itself: then the port has to be given up first.
   */
  async #move(
    places: Places,
    found: Status,
    request: DeploymentRequest<LocalSettings>,
    context: DeployerContext,
  ): Promise<void> {
    const { host, port } = request.settings;
    const listening =
      port === found.port
        ? await tryListen(host, port)
        : await listenWhereWanted(places, request, [], context);
    try {
      await stopSupervisor(places, found, false, context);
      const stateDirectory = this.#stateDirectory;
      if (listening === null) await this.#startOrBringBack(places, found, request, context);
      else await startSupervisor({ stateDirectory, places, request, listening }, context);
    } finally {
      listening?.close();
    }
  }

  async #startOrBringBack(
    places: Places,
    stopped: Status,
    request: DeploymentRequest<LocalSettings>,
    context: DeployerContext,
  ): Promise<void> {
    try {
      await this.#start(places, request, context);
    } catch (error) {
      await this.#bringBack(places, stopped, request, context);
      throw error;
    }
  }

  /** Serves at the old address what served there, with the secrets of the request: its own went with the supervisor. */
  async #bringBack(
    places: Places,
    { host, port, current }: Status,
    request: DeploymentRequest<LocalSettings>,
    context: DeployerContext,
  ): Promise<void> {
    if (current === null) return;
    const listening = await tryListen(host, port);
    if (listening === null) return;
    const { settings } = current;
    const start = { stateDirectory: this.#stateDirectory, places, listening };
    await startSupervisor({ ...start, request: { ...request, settings } }, context);
    const update = { type: "update", spec: current, secrets: revealed(request) } as const;
    let status = await askSupervisor(places, update, context.signal);
    while (status !== null && status.next !== null) {
      await context.clock.sleep(POLL_MS, context.signal);
      status = await askSupervisor(places, { type: "status" }, context.signal);
    }
  }

  #placesOf(target: DeploymentTarget): Places {
    return placesOf(this.#stateDirectory, target.id);
  }
}

async function look(
  places: Places,
  target: DeploymentTarget,
  context: ReadContext,
): Promise<Observation> {
  const status = await findSupervisor(places, context);
  if (status !== null) return observe(places, status);
  const supervisor = runningSupervisor(places);
  const hasFolder = existsSync(places.folder);
  if (hasFolder || supervisor !== null)
    return observeGone(places, { hasFolder, state: stateIfReadable(places), supervisor });
  return observeAbsent(rememberedEndpoint(target));
}

function revealed({ secrets }: DeploymentRequest<LocalSettings>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(secrets).map(([name, secret]) => [name, secret.reveal()]),
  );
}

/**
 * The supervisor's status; null when it is gone. One that lives although nobody listens on its socket (somebody deleted
 * that) is given time to listen again.
 */
async function findSupervisor(places: Places, context: ReadContext): Promise<Status | null> {
  const deadline = context.clock.now() + REAPPEAR_MS;
  for (;;) {
    const status = await askSupervisor(places, { type: "status" }, context.signal);
    if (status !== null) return status;
    if (runningSupervisor(places) === null || context.clock.now() > deadline) return null;
    await context.clock.sleep(POLL_MS, context.signal);
  }
}

async function stopSupervisor(
  places: Places,
  supervisor: ProcessIdentity,
  remove: boolean,
  context: DeployerContext,
): Promise<void> {
  context.progress("Answering the requests that are in flight");
  await askSupervisor(places, { type: "stop", remove }, context.signal);
  await untilGone(places, supervisor, context);
}

/** Waits for the end of this supervisor; another one may have followed it. */
async function untilGone(
  places: Places,
  supervisor: ProcessIdentity,
  { clock, signal }: ReadContext,
): Promise<void> {
  const answers = async (): Promise<boolean> =>
    (await askSupervisor(places, { type: "status" }, signal))?.pid === supervisor.pid;
  while ((await answers()) || isAlive(supervisor)) await clock.sleep(POLL_MS, signal);
}

/** A supervisor that lives but cannot be asked any more would keep the port. */
async function endLostSupervisor(places: Places, { signal }: DeployerContext): Promise<void> {
  const supervisor = runningSupervisor(places);
  if (supervisor === null) return;
  await withLock(places.lock, signal, async () => {
    if ((await askSupervisor(places, { type: "status" }, signal)) === null) killProcess(supervisor);
  });
}

/** What a supervisor left behind: its files, workers that did not notice, and its process where that cannot be asked. */
async function removeLeftovers(places: Places, context: DeployerContext): Promise<void> {
  await withLock(places.lock, context.signal, async () => {
    if ((await askSupervisor(places, { type: "status" }, context.signal)) !== null) return;
    const supervisor = runningSupervisor(places);
    if (supervisor !== null) killProcess(supervisor);
    for (const worker of stateIfReadable(places)?.workers ?? []) killProcess(worker);
    removeAllSecretFiles(places);
    rmSync(places.socket, { force: true });
    rmSync(places.folder, { recursive: true, force: true });
  });
}

/** Workers whose supervisor was killed before it could write down that there are any, and that did not notice. */
async function endStrayWorkers(places: Places, { signal }: DeployerContext): Promise<void> {
  if (findWorkers(places).length === 0) return;
  await withLock(places.lock, signal, async () => {
    const workers = findWorkers(places);
    if ((await askSupervisor(places, { type: "status" }, signal)) !== null) return;
    for (const worker of workers) killProcess(worker);
  });
}

/** A supervisor that was killed could not take back what says that it is there. */
async function removeStalePresence(places: Places, { signal }: DeployerContext): Promise<void> {
  if (readPresence(places.presence) === null) return;
  await withLock(places.lock, signal, async () => {
    const known = readPresence(places.presence);
    if (known !== null && !isAlive(known)) removePresence(places.presence);
  });
}

/** The process of the supervisor that was last known, if it runs. */
function runningSupervisor(places: Places): ProcessIdentity | null {
  const known = stateIfReadable(places) ?? readPresence(places.presence);
  return known !== null && isAlive(known) ? known : null;
}

/** A state file that is damaged hinders nobody who does not need what stands in it. */
function stateIfReadable(places: Places): State | null {
  try {
    return readState(places.stateFile);
  } catch (error) {
    if (isMillraceError(error)) return null;
    throw error;
  }
}
