import type { SendHandle } from "node:child_process";
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type ErrorSummary,
  SECRETS_DIRECTORY_VARIABLE,
  Secret,
  secretDigests,
  summarizeError,
} from "@millrace/core";
import type { Spec, State, Status, WorkerState } from "./control-protocol.ts";
import { inheritedEnvironment } from "./environment.ts";
import type { LogWriter } from "./log-writer.ts";
import type { Places } from "./places.ts";
import { startTimeOf } from "./process-identity.ts";
import { removeSecretFiles, writeSecretFiles } from "./secret-files.ts";
import { notStarted, Worker } from "./worker.ts";
import { workerMark } from "./worker-search.ts";

export interface SupervisionOptions {
  readonly places: Places;
  readonly host: string;
  readonly port: number;
  readonly wantedPort: number | null;
  readonly socket: SendHandle;
  readonly log: LogWriter;
  /** Called whenever the state is another one. */
  readonly onChange: (state: State) => void;
}

const FIRST_RESTART_DELAY_MS = 50;
/** A worker that was up for so long begins anew with short delays. */
const STABLE_MS = 10_000;
/** So many failed restarts in a row are no longer expected to mend themselves, although they go on. */
const HOPELESS_RESTARTS = 3;

/** One revision with its workers: rolled out, then current, then retired. */
interface Generation {
  readonly spec: Spec;
  readonly secrets: Readonly<Record<string, Secret>>;
  readonly workers: Set<Worker>;
  readonly retired: AbortController;
}

/** Keeps the workers of one deployment: rolls revisions out, restarts what crashes, drains what is replaced. */
export class Supervision {
  readonly #options: SupervisionOptions;
  readonly #digestKey = randomBytes(32).toString("hex");
  readonly #identity = { pid: process.pid, startTime: startTimeOf(process.pid) };
  readonly #draining = new Set<Generation>();
  #current: Generation | null = null;
  #next: Generation | null = null;
  #rollout: State["rollout"] = null;
  #error: ErrorSummary | null = null;
  #stopping = false;
  #replicas = 0;
  #restarts = 0;

  constructor(options: SupervisionOptions) {
    this.#options = options;
  }

  /** Begins to roll a revision out. Nothing happens when it serves already or is on its way. */
  update(spec: Spec, secrets: Readonly<Record<string, string>>): void {
    if (this.#next?.spec.revision === spec.revision) return;
    this.#abandonNext();
    if (this.#current?.spec.revision === spec.revision && readyWorkers(this.#current) > 0) {
      this.#rollout = { revision: spec.revision, phase: "complete", error: null };
      this.#changed();
      return;
    }
    void this.#rollOut({
      spec,
      secrets: Object.fromEntries(
        Object.entries(secrets).map(([name, value]) => [name, new Secret(value)]),
      ),
      workers: new Set(),
      retired: new AbortController(),
    });
  }

  /** Drains and ends every worker. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#abandonNext();
    const current = this.#current;
    this.#current = null;
    this.#hurryDraining();
    if (current !== null) void this.#retire(current, false);
    this.#changed();
    await Promise.all(
      [...this.#draining].flatMap((old) => [...old.workers]).map((worker) => worker.exited),
    );
  }

  state(): State {
    const { places, host, port, wantedPort } = this.#options;
    return {
      version: 1,
      deploymentId: places.deploymentId,
      ...this.#identity,
      host,
      port,
      wantedPort,
      stopping: this.#stopping,
      current: this.#current?.spec ?? null,
      next: this.#next?.spec ?? null,
      rollout: this.#rollout,
      ready: this.#current === null ? 0 : readyWorkers(this.#current),
      error: this.#error,
      workers: [this.#current, this.#next, ...this.#draining].flatMap((generation) =>
        generation === null ? [] : workerStates(generation),
      ),
      restarts: this.#restarts,
    };
  }

  status(): Status {
    const { secrets = {} } = this.#next ?? this.#current ?? {};
    return {
      ...this.state(),
      secrets: secretDigests(secrets, this.#digestKey),
    };
  }

  async #rollOut(next: Generation): Promise<void> {
    const { revision, settings } = next.spec;
    this.#next = next;
    this.#rollout = { revision, phase: "progressing", error: null };
    this.#options.log.limits = { maxBytes: settings.logMaxBytes, files: settings.logFiles };
    const starts = Array.from({ length: settings.workers }, () => this.#startWorker(next));
    this.#changed();
    const workers = starts.filter((start) => start instanceof Worker);
    const failed = starts.find((start): start is ErrorSummary => !(start instanceof Worker));
    const error = failed ?? (await firstFailure(workers));
    if (this.#next !== next) return;
    this.#next = null;
    if (error === null) this.#promote(next, workers);
    else this.#giveUp(next, error);
    this.#changed();
  }

  #promote(next: Generation, workers: readonly Worker[]): void {
    const old = this.#current;
    this.#current = next;
    this.#error = null;
    this.#rollout = { revision: next.spec.revision, phase: "complete", error: null };
    for (const worker of workers) void this.#keepUp(next, worker);
    if (old !== null) void this.#retire(old, true);
  }

  #giveUp(next: Generation, error: ErrorSummary): void {
    this.#say(`revision ${next.spec.revision} failed to start: ${error.message}`);
    this.#rollout = { revision: next.spec.revision, phase: "failed", error };
    if (this.#current === null) this.#error = error;
    this.#end(next);
  }

  #abandonNext(): void {
    if (this.#next !== null) this.#end(this.#next);
    this.#next = null;
  }

  /** Ends workers that took no requests worth waiting for. */
  #end(generation: Generation): void {
    generation.retired.abort();
    this.#draining.add(generation);
    for (const worker of generation.workers) worker.kill();
    this.#forgetOnceGone(generation);
  }

  async #retire(old: Generation, successor: boolean): Promise<void> {
    old.retired.abort();
    this.#draining.add(old);
    for (const worker of old.workers) {
      if (worker.state === "ready") void worker.drain(old.spec.drainSeconds, successor);
      else worker.kill();
    }
    this.#forgetOnceGone(old);
  }

  /** Workers that wait for idle connections to be used once more need not: nobody will serve after them. */
  #hurryDraining(): void {
    for (const { spec, workers } of this.#draining) {
      for (const worker of workers) {
        if (worker.state === "draining") void worker.drain(spec.drainSeconds, false);
      }
    }
  }

  #forgetOnceGone(generation: Generation): void {
    void Promise.all([...generation.workers].map((worker) => worker.exited)).then(() => {
      this.#draining.delete(generation);
      this.#changed();
    });
  }

  /** Restarts one worker of a generation for as long as that is current. */
  async #keepUp(generation: Generation, first: Worker): Promise<void> {
    const { signal } = generation.retired;
    let failures = 0;
    for (let start: Worker | ErrorSummary = first; ; start = this.#startWorker(generation)) {
      const { error, upMs } = await this.#lifeOf(start);
      if (signal.aborted) return;
      if (upMs > STABLE_MS) failures = 0;
      const delay = restartDelay(failures, generation.spec.settings.maxRestartDelaySeconds);
      failures += 1;
      this.#restarts += 1;
      if (failures > HOPELESS_RESTARTS && readyWorkers(generation) === 0) this.#error = error;
      this.#say(`${error.message} A worker is started again in ${delay} ms.`);
      this.#changed();
      if (!(await sleptUnlessAborted(delay, signal))) return;
    }
  }

  /** Waits for the end of a worker: why it ended, and how long it had been ready. */
  async #lifeOf(start: Worker | ErrorSummary): Promise<{ error: ErrorSummary; upMs: number }> {
    if (!(start instanceof Worker)) return { error: start, upMs: 0 };
    if ((await start.started) === null) {
      this.#error = null;
      this.#changed();
    }
    const upSince = performance.now();
    return { error: await start.exited, upMs: performance.now() - upSince };
  }

  /** The new worker, or why there is none. */
  #startWorker(generation: Generation): Worker | ErrorSummary {
    this.#replicas += 1;
    const replica = `worker-${this.#replicas}`;
    let secretsFolder: string | null = null;
    try {
      secretsFolder = this.#writeSecrets(replica, generation);
      return this.#fork(generation, replica, secretsFolder);
    } catch (error) {
      if (secretsFolder !== null) removeSecretFiles(secretsFolder);
      return summarizeError(notStarted(error));
    }
  }

  #writeSecrets(replica: string, { secrets }: Generation): string | null {
    if (Object.keys(secrets).length === 0) return null;
    return writeSecretFiles(this.#options.places, replica, secrets);
  }

  #fork(generation: Generation, replica: string, secretsFolder: string | null): Worker {
    const { places, host, port, socket, log } = this.#options;
    const { spec, secrets } = generation;
    const worker = new Worker({
      replica,
      runtime: spec.runtime,
      directory: spec.directory,
      startTimeoutSeconds: spec.startTimeoutSeconds,
      silenceTimeoutSeconds: spec.settings.silenceTimeoutSeconds,
      socket,
      environment: {
        ...inheritedEnvironment(process.env),
        ...spec.environment,
        HOST: host,
        PORT: String(port),
        ...workerMark(places),
        ...(secretsFolder === null ? {} : { [SECRETS_DIRECTORY_VARIABLE]: secretsFolder }),
      },
      secrets: Object.values(secrets),
      onLines: (stream, lines) => {
        const time = new Date();
        log.write(lines.map((text) => ({ time, replica, stream, text })));
      },
    });
    generation.workers.add(worker);
    // The worker has read them by then, or never will.
    void worker.started.then(() => {
      if (secretsFolder !== null) removeSecretFiles(secretsFolder);
    });
    void worker.exited.then(() => {
      generation.workers.delete(worker);
      this.#changed();
    });
    return worker;
  }

  #say(text: string): void {
    this.#options.log.write([{ time: new Date(), replica: "supervisor", stream: "stderr", text }]);
  }

  #changed(): void {
    this.#options.onChange(this.state());
  }
}

/** Pause before the next start of a worker that failed so many times in a row, in milliseconds. */
export function restartDelay(failures: number, maxSeconds: number): number {
  return Math.min(maxSeconds * 1000, FIRST_RESTART_DELAY_MS * 2 ** Math.min(failures, 30));
}

/** Null once all workers are ready; the first error when one of them ends before that. */
async function firstFailure(workers: readonly Worker[]): Promise<ErrorSummary | null> {
  const allReady = Promise.all(workers.map((worker) => worker.started)).then(
    (results) => results.find((result) => result !== null) ?? null,
  );
  return Promise.race([...workers.map((worker) => worker.exited), allReady]);
}

function readyWorkers({ workers }: Generation): number {
  return [...workers].filter((worker) => worker.state === "ready").length;
}

function workerStates({ spec, workers }: Generation): WorkerState[] {
  return [...workers].map(({ replica, identity, state }) => ({
    replica,
    ...identity,
    revision: spec.revision,
    state,
  }));
}

async function sleptUnlessAborted(milliseconds: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(milliseconds, undefined, { signal });
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    throw error;
  }
}
