import {
  type DeployerContext,
  type DeploymentRecord,
  type LifecycleEvent,
  type MillraceError,
  type Observation,
  type OperationOutcome,
  type OperationRecord,
  type ResourceKey,
  summarizeError,
  toMillraceError,
  transition,
} from "@millrace/core";
import { type DeploymentPatch, importRuns, type Lease } from "@millrace/store";
import { type Bounds, unreachableCause } from "./bounds.ts";
import type { DriverDependencies } from "./dependencies.ts";
import { makeJournal } from "./journal.ts";
import type { Platform } from "./platform.ts";
import {
  type Expected,
  type Finding,
  type Revision,
  readSighting,
  type Sighting,
  sameRevision,
} from "./verdict.ts";

/** How long the last look after a failed or stopped operation may take, in milliseconds. */
const LAST_LOOK_MS = 10_000;

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

/** A revision that becomes the recorded one as soon as it serves. */
export interface Wanted extends Revision {
  readonly authKeyHash: string | null;
}

/** An operation that shall be carried out and recorded. */
export interface Work {
  readonly begin: Begin;
  /** What may rightly serve while it goes on, and becomes the recorded revision if it does. */
  readonly wanted: Wanted | null;
  /** Throws when what was asked for cannot be had. */
  run(): Promise<DeploymentPatch>;
  /** Says what the failure left behind, where the finding is known. */
  describe?(error: MillraceError, finding: Finding | null): MillraceError;
}

/** One deployment under one lease: every write to its record, its operations and its inventory is made here. */
export class Session {
  readonly dependencies: DriverDependencies;
  readonly platform: Platform;
  readonly bounds: Bounds;
  readonly lease: Lease;

  constructor(dependencies: DriverDependencies, platform: Platform, bounds: Bounds, lease: Lease) {
    this.dependencies = dependencies;
    this.platform = platform;
    this.bounds = bounds;
    this.lease = lease;
  }

  get record(): DeploymentRecord {
    return this.platform.record;
  }

  /** The revision that the record says serves. */
  get recorded(): Revision | null {
    const { revision, snapshotId } = this.record;
    return revision === null || snapshotId === null ? null : { revision, snapshotId };
  }

  writeContext(): DeployerContext {
    const journal = makeJournal(this.dependencies.store, this.record.id, this.lease);
    return { ...this.platform.context(), journal, keepLog: (log) => this.#keepRuns(log) };
  }

  /** Reads back the runs of a service that recorded them in its log. */
  async #keepRuns(log: AsyncIterable<Uint8Array>): Promise<void> {
    const { store, project } = this.dependencies;
    const { signal } = this.bounds;
    const { recorded, badLines } = await importRuns(store, log, { projectId: project.id, signal });
    if (recorded > 0) this.platform.progress(`Runs of the log that the store has now: ${recorded}`);
    if (badLines > 0)
      this.platform.progress(`${badLines} lines of the log about runs could not be read`);
  }

  /** What an event makes of the record: the status by the lifecycle table, and the reason for it. */
  statusPatch(event: LifecycleEvent, reason: string | null): DeploymentPatch {
    return { status: transition(this.record.status, event), statusReason: reason };
  }

  /** What a finding makes of the record. The recorded revision moves only to a wanted one that serves. */
  async findingPatch(
    finding: Finding,
    observation: Observation,
    wanted: Wanted | null,
  ): Promise<DeploymentPatch> {
    const { event, reason } = await this.#unlessTaken(finding);
    const url =
      observation.state === "absent"
        ? { url: null }
        : observation.url === null
          ? {}
          : { url: observation.url };
    return {
      ...this.statusPatch(event, reason),
      ...url,
      observedAt: this.dependencies.clock.now(),
      metadata: observation.metadata,
      ...(wanted !== null &&
      event === "observed.serving" &&
      sameRevision(wanted, finding.serving) &&
      !sameRevision(wanted, this.recorded)
        ? {
            snapshotId: wanted.snapshotId,
            revision: wanted.revision,
            authKeyHash: wanted.authKeyHash,
          }
        : {}),
    };
  }

  /** A snapshot has at most one deployment: when another one was quicker, this one does not serve rightly. */
  async #unlessTaken(finding: Finding): Promise<Pick<Finding, "event" | "reason">> {
    if (finding.event !== "observed.serving" || finding.serving === null) return finding;
    const { store } = this.dependencies;
    const { id, projectId } = this.record;
    const owner = await store.deployments.findBySnapshot(projectId, finding.serving.snapshotId);
    if (owner === null || owner.id === id) return finding;
    return {
      event: "observed.drifted",
      reason: `It serves a snapshot that is deployed as "${owner.name}" already.`,
    };
  }

  async update(patch: DeploymentPatch): Promise<void> {
    const { deployments } = this.dependencies.store;
    this.platform.record = await deployments.update(this.record.id, patch, this.lease);
  }

  async #reload(): Promise<void> {
    const { projectId, id } = this.record;
    const record = await this.dependencies.store.deployments.find(projectId, id);
    if (record !== null) this.platform.record = record;
  }

  /**
   * Carries out one operation and records it. What fails ends by what was thrown and by a last look at the platform.
   * @throws MillraceError when the outcome is not `succeeded`.
   */
  async operate(work: Work): Promise<OperationRecord> {
    const operation = await this.#begin(work.begin);
    return this.#end(operation, await this.#carryOut(work));
  }

  /** Records an operation that is over already, in one go. */
  async recordOperation(begin: Begin, ending: Ending): Promise<OperationRecord> {
    return this.#end(await this.#begin(begin), ending);
  }

  async #begin(begin: Begin): Promise<OperationRecord> {
    const { store, user } = this.dependencies;
    const patch = this.statusPatch("operation.started", `${begin.kind} is under way.`);
    const operation = await store.operations.begin(
      { ...begin, deploymentId: this.record.id, userName: user.name },
      patch,
      this.lease,
    );
    await this.#reload();
    return operation;
  }

  async #end(operation: OperationRecord, ending: Ending): Promise<OperationRecord> {
    const { outcome, error, patch } = ending;
    const summary = error === null ? null : summarizeError(error);
    const { operations } = this.dependencies.store;
    const ended = await operations.end(
      operation.id,
      { outcome, error: summary },
      patch,
      this.lease,
    );
    await this.#reload();
    if (error !== null) throw error;
    return ended;
  }

  async #carryOut(work: Work): Promise<Ending> {
    try {
      return { outcome: "succeeded", error: null, patch: await work.run() };
    } catch (thrown) {
      const error = this.bounds.explain(thrown);
      // Somebody else decides now; this operation will be found abandoned.
      if (error.code === "LEASE_LOST") throw error;
      return this.#endingOf(error, work);
    }
  }

  async #endingOf(error: MillraceError, work: Work): Promise<Ending> {
    const { ended } = this.bounds;
    const outcome = ended === "timed_out" || ended === "aborted" ? ended : "failed";
    const unreachable = unreachableCause(error);
    if (unreachable !== null) {
      const patch = this.statusPatch("observed.unreachable", unreachable.message);
      return { outcome, error, patch };
    }
    if (outcome === "timed_out") {
      const patch = this.statusPatch("operation.timed_out", error.message);
      return { outcome, error, patch };
    }
    try {
      const { finding, sighting } = await this.#lastLook(work.wanted);
      // A service that does not answer may still be starting; after a failure there is nothing left to wait for.
      const settled: Finding =
        outcome === "failed" && finding.event === "observed.unhealthy"
          ? { ...finding, event: "observed.failed" }
          : finding;
      const described = outcome === "failed" ? work.describe?.(error, settled) : undefined;
      const patch = await this.findingPatch(settled, sighting.observation, work.wanted);
      return { outcome, error: described ?? error, patch };
    } catch (thrown) {
      const reason = toMillraceError(thrown).message;
      const patch: DeploymentPatch =
        outcome === "aborted"
          ? { statusReason: error.message }
          : this.statusPatch("observed.unreachable", reason);
      const described = outcome === "failed" ? work.describe?.(error, null) : undefined;
      return { outcome, error: described ?? error, patch };
    }
  }

  #lastLook(
    wanted: Wanted | null,
  ): Promise<{ readonly sighting: Sighting; readonly finding: Finding }> {
    return this.platform.lookUntilSure(
      (sighting) => readSighting(sighting, this.expected(wanted)),
      AbortSignal.timeout(LAST_LOOK_MS),
    );
  }

  expected(wanted: Wanted | null): Expected {
    return { recorded: this.recorded, wanted };
  }

  /** Brings the inventory in line with what the platform shows. Nothing is forgotten: what is not there is marked so. */
  async markMissing({ resources }: Observation): Promise<void> {
    const { inventory } = this.dependencies.store;
    const shown = new Map(resources.map((resource) => [keyOf(resource), resource]));
    for (const entry of await this.platform.inventory()) {
      const seen = shown.get(keyOf(entry));
      shown.delete(keyOf(entry));
      const unseen = entry.state === "present" ? "missing" : entry.state;
      const state = seen === undefined ? unseen : "present";
      const platformId = seen?.platformId ?? entry.platformId;
      if (state !== entry.state || platformId !== entry.platformId)
        await inventory.put(this.record.id, { ...entry, state, platformId }, this.lease);
    }
    for (const { kind, name, platformId } of shown.values())
      await inventory.put(this.record.id, { kind, name, state: "present", platformId }, this.lease);
  }

  /** The platform confirmed that nothing is left. */
  async clearInventory(): Promise<void> {
    for (const entry of await this.platform.inventory())
      await this.dependencies.store.inventory.remove(this.record.id, entry, this.lease);
  }
}

function keyOf({ kind, name }: ResourceKey): string {
  return `${kind}\u0000${name}`;
}
