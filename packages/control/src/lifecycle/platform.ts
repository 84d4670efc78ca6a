import type {
  DeploymentRecord,
  DeploymentTarget,
  InventoryRecord,
  Observation,
  ReadContext,
} from "@millrace/core";
import type { Bounds } from "./bounds.ts";
import {
  type Call,
  type DriverDependencies,
  type LoadedDeployer,
  targetOf,
} from "./dependencies.ts";
import { askHealth } from "./health.ts";
import { pollWaits, retryTransient } from "./retry.ts";
import type { Finding, Sighting } from "./verdict.ts";

/** How many readings in a row it takes to believe that a deployment is absent, silent, drifted or failed. */
export const READINGS = 3;
/** How long a deployer may take to heed an abort, in milliseconds; then it is left behind. */
const GRACE_MS = 1_000;

/** A deployment's platform: the deployer's calls, and the service's own word. Changes no record. */
export class Platform {
  readonly #dependencies: DriverDependencies;
  readonly #bounds: Bounds;
  readonly #call: Call;
  #loaded: Promise<LoadedDeployer> | undefined;
  #told: string | undefined;
  /** As it was read or written last. */
  record: DeploymentRecord;

  constructor(
    dependencies: DriverDependencies,
    record: DeploymentRecord,
    call: Call,
    bounds: Bounds,
  ) {
    this.#dependencies = dependencies;
    this.#bounds = bounds;
    this.#call = call;
    this.record = record;
  }

  /** Loaded when it is needed: what touches no platform must not fail because of a missing plugin. */
  deployer(): Promise<LoadedDeployer> {
    this.#loaded ??= this.#dependencies.deployerOf(this.record);
    return this.#loaded;
  }

  /** Tells the caller what goes on; polling says the same again and again, which is told once. */
  progress(message: string): void {
    if (message === this.#told) return;
    this.#told = message;
    const at = this.#dependencies.clock.now();
    this.#call.onProgress?.({ at, deployment: this.record.name, message });
  }

  context(signal: AbortSignal = this.#bounds.signal): ReadContext {
    const { clock } = this.#dependencies;
    return { signal, clock, progress: (message) => this.progress(message) };
  }

  inventory(): Promise<readonly InventoryRecord[]> {
    return this.#dependencies.store.inventory.list(this.record.id);
  }

  async target(): Promise<DeploymentTarget> {
    return targetOf(this.#dependencies.project, this.record, await this.inventory());
  }

  /** Calls the deployer, again and again while it fails in a way that waiting can mend. */
  ask<T>(
    call: (loaded: LoadedDeployer) => Promise<T>,
    signal: AbortSignal = this.#bounds.signal,
  ): Promise<T> {
    const { clock, timing } = this.#dependencies;
    const progress = (message: string) => this.progress(message);
    const deadlineAt = signal === this.#bounds.signal ? this.#bounds.deadlineAt : undefined;
    return retryTransient({ clock, timing, signal, progress, deadlineAt }, () =>
      boundedBy(signal, async () => call(await this.deployer())),
    );
  }

  inspect(signal?: AbortSignal): Promise<Observation> {
    return this.ask(
      async ({ deployer }) => deployer.inspect(await this.target(), this.context(signal)),
      signal,
    );
  }

  /** The platform's word, and the service's own when the platform says that it runs. */
  async look(signal?: AbortSignal): Promise<Sighting> {
    return this.withHealth(await this.inspect(signal), signal);
  }

  async withHealth(
    observation: Observation,
    signal: AbortSignal = this.#bounds.signal,
  ): Promise<Sighting> {
    const { url, state } = observation;
    const { healthTimeoutMs } = this.#dependencies.timing;
    const health =
      state === "running" && url !== null
        ? await askHealth(url, this.record.id, healthTimeoutMs, signal)
        : null;
    return { observation, health };
  }

  /** Looks until the reading can be believed: one that is good at once, any other after several in a row. */
  async lookUntilSure(
    judge: (sighting: Sighting) => Finding,
    signal: AbortSignal = this.#bounds.signal,
  ): Promise<{ readonly sighting: Sighting; readonly finding: Finding }> {
    let readings = 0;
    let event: Finding["event"] | undefined;
    const first = await this.look(signal);
    const again = () => this.look(signal);
    return this.poll(
      first,
      again,
      (sighting) => {
        const finding = judge(sighting);
        readings = finding.event === event ? readings + 1 : 1;
        event = finding.event;
        return AT_ONCE.has(event) || readings >= READINGS ? { sighting, finding } : null;
      },
      signal,
    );
  }

  /** Reads again, with growing waits, until the visitor has a result. Rejects with the signal's reason when it aborts. */
  async poll<T, Result extends object>(
    first: T,
    again: () => Promise<T>,
    visit: (reading: T) => Result | null | Promise<Result | null>,
    signal: AbortSignal = this.#bounds.signal,
  ): Promise<Result> {
    const { clock, timing } = this.#dependencies;
    const nextWait = pollWaits(timing);
    for (let reading = first; ; reading = await again()) {
      // What was read while the signal aborted may be an answer that was cut off.
      signal.throwIfAborted();
      const result = await visit(reading);
      if (result !== null) return result;
      await clock.sleep(nextWait(), signal);
    }
  }
}

const AT_ONCE: ReadonlySet<Finding["event"]> = new Set([
  "observed.serving",
  "observed.progressing",
  "observed.failed",
]);

/**
 * Runs a deployer's call, and gives it up soon after the signal has aborted. What it does later does no harm: the lease
 * is gone then, and with it the journal.
 */
export async function boundedBy<T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  const { promise: givenUp, reject } = Promise.withResolvers<never>();
  let grace: NodeJS.Timeout | undefined;
  const onAbort = () => {
    grace = setTimeout(() => reject(signal.reason), GRACE_MS);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([call(), givenUp]);
  } finally {
    clearTimeout(grace);
    signal.removeEventListener("abort", onAbort);
  }
}
