import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type DeployerContext,
  type DeployerOptions,
  type DeploymentRequest,
  type DeploymentTarget,
  isMillraceError,
  MillraceError,
  type Observation,
  type Plan,
  type ReadContext,
  type ResourceKey,
} from "@millrace/core";
import { FakeDeployer, type Names } from "../fake/deployer.ts";
import type { ServiceView, Spec } from "../fake/records.ts";
import type { FakeSettings } from "../fake/settings.ts";
import { wrong } from "./wrong-deployer.ts";

type Request = DeploymentRequest<FakeSettings>;

/** Turns every error into another. */
function failing(change: (error: MillraceError) => unknown): typeof FakeDeployer {
  const changed = async <T>(call: Promise<T>): Promise<T> => {
    try {
      return await call;
    } catch (error) {
      throw isMillraceError(error) ? change(error) : error;
    }
  };
  return class extends FakeDeployer {
    override plan(request: Request, context: ReadContext): Promise<Plan> {
      return changed(super.plan(request, context));
    }

    override provision(request: Request, context: DeployerContext): Promise<Observation> {
      return changed(super.provision(request, context));
    }

    override inspect(target: DeploymentTarget, context: ReadContext): Promise<Observation> {
      return changed(super.inspect(target, context));
    }

    override deprovision(target: DeploymentTarget, context: DeployerContext): Promise<Observation> {
      return changed(super.deprovision(target, context));
    }
  };
}

function remade(
  error: MillraceError,
  over: Partial<Pick<MillraceError, "class" | "retryable">>,
): MillraceError {
  const { class: errorClass, code, message, action, retryable } = error;
  return new MillraceError({ class: errorClass, code, message, action, retryable, ...over });
}

class UnreachableIsAbsent extends FakeDeployer {
  override async inspect(target: DeploymentTarget, context: ReadContext): Promise<Observation> {
    try {
      return await super.inspect(target, context);
    } catch (error) {
      if (!isMillraceError(error)) throw error;
      return this.observe({ service: null, secrets: null }, this.names(target));
    }
  }
}

/** Takes another name when the one that it wants is taken. */
class AvoidsConflicts extends FakeDeployer {
  protected override async createService(
    key: ResourceKey,
    request: Request,
    spec: Spec,
    signal: AbortSignal,
  ): Promise<ServiceView> {
    const service = { tags: this.tags(request.deployment), spec, login: this.login(request) };
    try {
      return await this.client.createService({ name: key.name, ...service }, signal);
    } catch (error) {
      if (!isMillraceError(error) || error.code !== "FAKE_CONFLICT") throw error;
      return this.client.createService({ name: `${key.name}-2`, ...service }, signal);
    }
  }

  protected override async untilShown(): Promise<void> {}
}

/** Believes that a call without a reply did nothing. */
class RetriesElsewhere extends FakeDeployer {
  protected override async createService(
    key: ResourceKey,
    request: Request,
    spec: Spec,
    signal: AbortSignal,
  ): Promise<ServiceView> {
    try {
      return await super.createService(key, request, spec, signal);
    } catch (error) {
      if (!isMillraceError(error) || error.class !== "unreachable") throw error;
      return super.createService({ ...key, name: `${key.name}-retry` }, request, spec, signal);
    }
  }
}

/** Says that what was not done has failed for good. */
class GivesUpInOutage extends FakeDeployer {
  override async provision(request: Request, context: DeployerContext): Promise<Observation> {
    const before = await this.inspect(request.deployment, context);
    try {
      return await super.provision(request, context);
    } catch (error) {
      if (!isMillraceError(error) || error.class !== "unreachable") throw error;
      return { ...before, state: "failed", serving: null, error };
    }
  }
}

/** Leaves a mark that it works, and takes it for somebody else's after an outage. */
class MarksItsWork extends FakeDeployer {
  readonly #marks: string;

  constructor(options: DeployerOptions<FakeSettings>) {
    super(options);
    this.#marks = options.stateDirectory;
  }

  override async provision(request: Request, context: DeployerContext): Promise<Observation> {
    const mark = join(this.#marks, `${request.deployment.id}.working`);
    if (existsSync(mark))
      throw new MillraceError({
        class: "conflict",
        code: "WRONG_BUSY",
        message: "Another provision is at work.",
        action: "Wait.",
      });
    writeFileSync(mark, "");
    const seen = await super.provision(request, context);
    rmSync(mark);
    return seen;
  }
}

/** Makes room by removing what serves. */
class MakesRoom extends FakeDeployer {
  protected override async putService(
    request: Request,
    names: Names,
    context: DeployerContext,
  ): Promise<void> {
    try {
      await super.putService(request, names, context);
    } catch (error) {
      if (!isMillraceError(error) || error.class !== "platform") throw error;
      await this.removeService(names.service, context);
      await super.putService(request, names, context);
    }
  }
}

class LostReplyIsRemoved extends FakeDeployer {
  protected override async removeUntilGone(
    { signal, journal }: DeployerContext,
    key: ResourceKey,
    remove: () => Promise<boolean>,
  ): Promise<void> {
    signal.throwIfAborted();
    if (!(await remove()))
      throw new MillraceError({
        class: "not_found",
        code: "WRONG_NOT_FOUND",
        message: `There is no ${key.kind} ${key.name}.`,
        action: "Refresh the deployment.",
      });
    await journal.gone(key);
  }
}

/** Names its service by chance and relies on the metadata to find it again. */
class RandomNames extends FakeDeployer {
  protected override names(target: DeploymentTarget): Names {
    const names = super.names(target);
    const { service } = target.metadata;
    const name = typeof service === "string" ? service : this.#nameOf(target.id);
    return { ...names, service: { kind: "service", name } };
  }

  readonly #names = new Map<string, string>();

  #nameOf(id: string): string {
    const name = this.#names.get(id) ?? `millrace-${crypto.randomUUID().slice(0, 8)}`;
    this.#names.set(id, name);
    return name;
  }

  protected override observe(...parts: Parameters<FakeDeployer["observe"]>): Observation {
    const seen = super.observe(...parts);
    const [, names] = parts;
    return { ...seen, metadata: { ...seen.metadata, service: names.service.name } };
  }
}

/** Takes a lock that outlives it. */
class LocksItself extends FakeDeployer {
  readonly #folder: string;

  constructor(options: DeployerOptions<FakeSettings>) {
    super(options);
    this.#folder = options.stateDirectory;
  }

  override async provision(request: Request, context: DeployerContext): Promise<Observation> {
    const lock = join(this.#folder, `${request.deployment.id}.lock`);
    if (existsSync(lock)) {
      throw new MillraceError({
        class: "conflict",
        code: "WRONG_LOCKED",
        message: `The deployment is locked by ${lock}.`,
        action: "Delete the file.",
      });
    }
    writeFileSync(lock, "");
    try {
      return await super.provision(request, context);
    } finally {
      rmSync(lock);
    }
  }
}

/** Removes only what it is sure to have made. */
class IgnoresIntentions extends FakeDeployer {
  override async deprovision(
    target: DeploymentTarget,
    context: DeployerContext,
  ): Promise<Observation> {
    const known = new Set(
      target.inventory.filter(({ state }) => state === "present").map(({ kind }) => kind),
    );
    const { service, secrets } = this.names(target);
    if (known.has("service")) await this.removeService(service, context);
    if (known.has("secret-set")) await this.removeSecrets(secrets, context);
    return this.inspect(target, context);
  }

  override async inspect(target: DeploymentTarget, context: ReadContext): Promise<Observation> {
    const seen = await super.inspect(target, context);
    const known = target.inventory.some(({ state }) => state === "present");
    return known || seen.state === "running"
      ? seen
      : { ...seen, state: "absent", url: null, serving: null, resources: [], error: null };
  }
}

const never = new AbortController().signal;

class IgnoresAbort extends FakeDeployer {
  override inspect(target: DeploymentTarget, context: ReadContext): Promise<Observation> {
    return super.inspect(target, { ...context, signal: never });
  }
}

class AbortsLate extends FakeDeployer {
  override async provision(request: Request, context: DeployerContext): Promise<Observation> {
    const seen = await super.provision(request, { ...context, signal: never });
    context.signal.throwIfAborted();
    return seen;
  }
}

export const wrongErrors = [
  wrong(
    "ERR-01",
    "throws-plain-errors",
    /no MillraceError/,
    failing((error) => new Error(error.message)),
  ),
  wrong(
    "ERR-01",
    "gives-no-advice",
    /without advice/,
    failing(
      (error) =>
        new MillraceError({ class: error.class, code: error.code, message: error.message }),
    ),
  ),
  wrong(
    "ERR-02",
    "drops-the-cause",
    /kept as the cause/,
    failing((error) => remade(error, {})),
  ),
  wrong("UNRE-01", "unreachable-is-absent", /should have failed/, UnreachableIsAbsent),
  wrong(
    "UNRE-01",
    "unreachable-is-final",
    /not retryable/,
    failing((error) => remade(error, { retryable: false })),
  ),
  wrong(
    "UNRE-02",
    "throttled-is-refused",
    /of class platform/,
    failing((error) => remade(error, { class: "platform" })),
  ),
  wrong(
    "UNRE-02",
    "forgets-the-wait",
    /how long to wait/,
    failing((error) => remade(error, {})),
  ),
  wrong(
    "UNRE-03",
    "expired-is-retried",
    /which is retryable/,
    failing((error) => remade(error, { retryable: true })),
  ),
  wrong("LOST-01", "retries-elsewhere", /exactly .* exist/, RetriesElsewhere),
  wrong("LOST-02", "missing-is-fatal", /WRONG_NOT_FOUND/, LostReplyIsRemoved),
  // On a slow machine the last provision sees its service, and the second one is left behind.
  wrong("EVEN-01", "avoids-lagging-conflicts", /FAKE_CONFLICT|exactly .* exist/, AvoidsConflicts),
  wrong("DOWN-01", "gives-up-in-outage", /should have failed/, GivesUpInOutage),
  wrong("DOWN-01", "marks-its-work", /WRONG_BUSY/, MarksItsWork),
  wrong("FULL-01", "makes-room", /the old revision is gone/, MakesRoom),
  wrong(
    "FULL-01",
    "waits-for-room",
    /of class unreachable/,
    failing((error) => remade(error, { class: "unreachable", retryable: true })),
  ),
  wrong("CONC-01", "avoids-conflicts", /exactly .* exist/, AvoidsConflicts),
  wrong("CRASH-01", "random-names", /after a death/, RandomNames),
  wrong("CRASH-02", "locks-itself", /WRONG_LOCKED/, LocksItself),
  wrong(
    "CRASH-03",
    "ignores-intentions",
    /exactly .* exist|waited in vain|TIMED_OUT/,
    IgnoresIntentions,
  ),
  wrong("ABRT-01", "ignores-abort", /went on/, IgnoresAbort),
  wrong("ABRT-02", "aborts-late", /although its signal was aborted/, AbortsLate),
];
