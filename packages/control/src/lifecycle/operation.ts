import {
  type DeployerContext,
  type DeploymentRecord,
  type InventoryRecord,
  isMillraceError,
  type LifecycleEvent,
  MillraceError,
  type Observation,
  type OperationOutcome,
  type OperationRecord,
  type ReadContext,
  summarizeError,
  toMillraceError,
  transition,
} from "@millrace/core";
import type { DeploymentPatch, Lease } from "@millrace/store";
import {
  type Call,
  type DriverDependencies,
  type LoadedDeployer,
  targetOf,
} from "./dependencies.ts";
import { askHealth } from "./health.ts";
import { makeJournal } from "./journal.ts";
import type { HeldLease } from "./lease.ts";
import { backOff, retryTransient } from "./retry.ts";
import type { Finding, Sighting } from "./verdict.ts";

/** How often an absent reading has to be repeated before it is believed: platforms show what they just made late. */
const ABSENT_READINGS = 3;
/** How often a service that the platform calls running may fail to answer before it is called unhealthy. */
const HEALTH_TRIES = 3;
/** How long the last look after a failed or stopped operation may take, in milliseconds. */
const LAST_LOOK_MS = 10_000;

/** How long a deployer may take to heed an abort, in milliseconds. */
const ABORT_GRACE_MS = 5000;

export type Begin = Pick<
  OperationRecord,
  "kind" | "snapshotId" | "revision" | "previousSnapshotId" | "overrides"
>;

/** How an operation ended, and what the record shall say. */
export interface Ending {
  readonly outcome: Exclude<OperationOutcome, "running" | "abandoned">;
  readonly error: MillraceError | null;
  readonly patch: DeploymentPatch;
}

/** One deployment under one lease: the calls to its deployer, and the writes to its record. */
export class Session {
  readonly dependencies: DriverDependencies;
  readonly loaded: LoadedDeployer;
  readonly lease: Lease;
  readonly call: Call;
  /** Aborts at the deadline, when the caller stops, and when the lease is lost. */
  readonly signal: AbortSignal;
  readonly deadline: AbortSignal;
  readonly #deadlineTimer: NodeJS.Timeout;
  #told: string | undefined;
  record: DeploymentRecord;

  constructor(
    dependencies: DriverDependencies,
    loaded: LoadedDeployer,
    held: HeldLease,
    call: Call,
    record: DeploymentRecord,
  ) {
    this.dependencies = dependencies;
    this.loaded = loaded;
    this.lease = held.lease;
    this.call = call;
    this.record = record;
    const deadline = new AbortController();
    this.deadline = deadline.signal;
    this.#deadlineTimer = setTimeout(
      () => deadline.abort(timedOut(record.name, call.timeoutSeconds)),
      call.timeoutSeconds * 1000,
    );
    this.signal = AbortSignal.any([
      deadline.signal,
      held.signal,
      ...(call.signal === undefined ? [] : [call.signal]),
    ]);
  }

  close(): void {
    clearTimeout(this.#deadlineTimer);
  }

  /** Tells the caller what goes on; polling says the same again and again, which is told once. */
  progress(message: string): void {
    if (message === this.#told) return;
    this.#told = message;
    this.call.onProgress?.({
      at: this.dependencies.clock.now(),
      deployment: this.record.name,
      message,
    });
  }

  readContext(signal: AbortSignal = this.signal): ReadContext {
    return {
      signal,
      clock: this.dependencies.clock,
      progress: (message) => this.progress(message),
    };
  }

  writeContext(): DeployerContext {
    const { store } = this.dependencies;
    return { ...this.readContext(), journal: makeJournal(store, this.record.id, this.lease) };
  }

  inventory(): Promise<readonly InventoryRecord[]> {
    return this.dependencies.store.inventory.list(this.record.id);
  }

  async target() {
    return targetOf(this.dependencies.project, this.record, await this.inventory());
  }

  /** Calls the platform, again and again while it fails in a way that waiting can mend. */
  transient<T>(call: () => Promise<T>, signal: AbortSignal = this.signal): Promise<T> {
    const { clock, timing } = this.dependencies;
    const progress = (message: string): void => this.progress(message);
    return retryTransient(clock, timing, signal, progress, () => {
      signal.throwIfAborted();
      return settledSoonAfterAbort(call(), signal);
    });
  }

  inspect(signal: AbortSignal = this.signal): Promise<Observation> {
    return this.transient(
      async () => this.loaded.deployer.inspect(await this.target(), this.readContext(signal)),
      signal,
    );
  }

  /** The platform's word, and the service's own when the platform says that it runs. */
  async look(signal: AbortSignal = this.signal): Promise<Sighting> {
    return this.#withHealth(await this.inspect(signal), signal);
  }

  async #withHealth(observation: Observation, signal: AbortSignal): Promise<Sighting> {
    const { url, state } = observation;
    const health =
      state === "running" && url !== null
        ? await askHealth(url, this.dependencies.timing.healthTimeoutMs, signal)
        : null;
    return { observation, health };
  }

  /** Looks until the reading can be believed: absent ones and silent services are asked again. */
  async lookTwice(signal: AbortSignal = this.signal): Promise<Sighting> {
    const nextWait = backOff(this.dependencies.timing);
    let sighting = await this.look(signal);
    for (let readings = 1; readings < Math.max(ABSENT_READINGS, HEALTH_TRIES); readings++) {
      const { observation, health } = sighting;
      const doubtful =
        observation.state === "absent" ||
        (observation.state === "running" && health?.ready !== true);
      if (!doubtful) return sighting;
      await this.dependencies.clock.sleep(nextWait(), signal);
      sighting = await this.look(signal);
    }
    return sighting;
  }

  /** Polls until the visitor is content. Rejects with the signal's reason when it aborts. */
  async poll(first: Observation, visit: (sighting: Sighting) => boolean): Promise<Sighting> {
    const nextWait = backOff(this.dependencies.timing);
    let sighting = await this.#withHealth(first, this.signal);
    while (!visit(sighting)) {
      await this.dependencies.clock.sleep(nextWait(), this.signal);
      sighting = await this.look();
    }
    return sighting;
  }

  /** The patch for an event: the status by the lifecycle table, with its reason. */
  statusPatch(event: LifecycleEvent, reason: string | null): DeploymentPatch {
    return { status: transition(this.record.status, event), statusReason: reason };
  }

  /** What a finding writes to the record. What serves is not in here: only a success moves the record. */
  findingPatch({ event, reason }: Finding, observation: Observation): DeploymentPatch {
    const gone = observation.state === "absent";
    return {
      ...this.statusPatch(event, reason),
      observedAt: this.dependencies.clock.now(),
      ...(gone ? { url: null } : observation.url === null ? {} : { url: observation.url }),
      metadata: observation.metadata,
    };
  }

  async update(patch: DeploymentPatch): Promise<DeploymentRecord> {
    this.record = await this.dependencies.store.deployments.update(
      this.record.id,
      patch,
      this.lease,
    );
    return this.record;
  }

  /**
   * Runs one recorded operation: begins it, lets the work decide how it ends, and ends it. Work that throws ends by what
   * it threw and by a last look at the platform.
   * @throws MillraceError when the outcome is not `succeeded`.
   */
  async operate(
    begin: Begin,
    work: () => Promise<Ending>,
    judge: (sighting: Sighting) => Finding,
  ): Promise<OperationRecord> {
    const { store, user } = this.dependencies;
    const patch = this.statusPatch("operation.started", `${begin.kind} is under way.`);
    const operation = await store.operations.begin(
      { ...begin, deploymentId: this.record.id, userName: user.name },
      patch,
      this.lease,
    );
    this.record = { ...this.record, ...patch };
    let ending: Ending;
    try {
      ending = await work();
    } catch (thrown) {
      ending = await this.#endingOf(toMillraceError(this.#whyStopped(thrown)), judge);
    }
    const { outcome, error } = ending;
    const ended = await store.operations.end(
      operation.id,
      { outcome, error: error === null ? null : summarizeError(error) },
      ending.patch,
      this.lease,
    );
    this.record =
      (await store.deployments.find(this.record.projectId, this.record.id)) ?? this.record;
    if (error !== null) throw error;
    return ended;
  }

  /** A call that was cut off fails in its own words; the reason for the cut says more. */
  #whyStopped(thrown: unknown): unknown {
    if (!this.signal.aborted) return thrown;
    const reason: unknown = this.signal.reason;
    if (isMillraceError(reason)) {
      // Out of time while the platform could not be asked: both are true, and the second decides the status.
      return isMillraceError(thrown) && thrown.class === "unreachable" && reason.class === "timeout"
        ? withCause(reason, thrown)
        : reason;
    }
    return new MillraceError({
      class: "aborted",
      code: "ABORTED",
      message: `The operation on deployment "${this.record.name}" was stopped.`,
      action: "Run the same command or `millrace deployment refresh` to pick it up.",
      cause: reason,
    });
  }

  async #endingOf(error: MillraceError, judge: (sighting: Sighting) => Finding): Promise<Ending> {
    if (error.code === "LEASE_LOST") throw error;
    const outcome =
      error.class === "timeout" ? "timed_out" : error.class === "aborted" ? "aborted" : "failed";
    const unreachable =
      error.class === "unreachable"
        ? error
        : isMillraceError(error.cause) && error.cause.class === "unreachable"
          ? error.cause
          : null;
    if (unreachable !== null) {
      return {
        outcome,
        error,
        patch: this.statusPatch("observed.unreachable", unreachable.message),
      };
    }
    if (outcome === "timed_out")
      return { outcome, error, patch: this.statusPatch("operation.timed_out", error.message) };
    const signal = AbortSignal.timeout(LAST_LOOK_MS);
    try {
      const sighting = await this.look(signal);
      return { outcome, error, patch: this.findingPatch(judge(sighting), sighting.observation) };
    } catch (lookError) {
      return {
        outcome,
        error,
        patch: this.statusPatch("observed.unreachable", toMillraceError(lookError).message),
      };
    }
  }
}

/**
 * Waits for a call, but after an abort only for a while: a deployer that does not heed the signal must not hold up the end
 * of the operation. What it still writes is refused, because the lease is given back.
 */
async function settledSoonAfterAbort<T>(call: Promise<T>, signal: AbortSignal): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let onAbort = (): void => undefined;
  const abandoned = new Promise<never>((_resolve, reject) => {
    onAbort = () => {
      timer = setTimeout(() => reject(signal.reason), ABORT_GRACE_MS);
    };
    signal.addEventListener("abort", onAbort);
  });
  try {
    return await Promise.race([call, abandoned]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}

function withCause(error: MillraceError, cause: MillraceError): MillraceError {
  return new MillraceError({
    ...error,
    message: `${error.message} The platform could not be asked: ${cause.message}`,
    cause,
  });
}

function timedOut(deployment: string, seconds: number): MillraceError {
  return new MillraceError({
    class: "timeout",
    code: "OPERATION_TIMED_OUT",
    message: `The operation on deployment "${deployment}" was not done after ${seconds} seconds.`,
    action:
      "The platform may still be at work: `millrace deployment refresh` or the same command picks it up. `--timeout` allows more time.",
    retryable: true,
  });
}
