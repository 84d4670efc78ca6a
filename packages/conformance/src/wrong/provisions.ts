import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type DeployerContext,
  type DeploymentRequest,
  type DeploymentTarget,
  MillraceError,
  type Observation,
  type ReadContext,
  type ResourceKey,
} from "@millrace/core";
import { FakeDeployer, type Names } from "../fake/deployer.ts";
import type { ServiceView, Spec } from "../fake/records.ts";
import type { FakeSettings } from "../fake/settings.ts";
import { wrong } from "./wrong-deployer.ts";

type Request = DeploymentRequest<FakeSettings>;

/** Does its work only when it is called again. */
class NeedsSecondCall extends FakeDeployer {
  readonly #called = new Set<string>();

  protected override async putService(
    request: Request,
    names: Names,
    context: DeployerContext,
  ): Promise<void> {
    if (this.#called.has(request.revision)) return super.putService(request, names, context);
    this.#called.add(request.revision);
  }
}

class NeverUpdates extends FakeDeployer {
  protected override async putService(
    request: Request,
    names: Names,
    context: DeployerContext,
  ): Promise<void> {
    const found = await this.client.readService(names.service.name, context.signal);
    if (found === null) await super.putService(request, names, context);
  }
}

class AsksCallersToLeave extends FakeDeployer {
  protected override async putService(
    request: Request,
    names: Names,
    context: DeployerContext,
  ): Promise<void> {
    const found = await this.client.readService(names.service.name, context.signal);
    if (found?.state === "stopped") {
      // Health is asked for now and then; callers ask again and again.
      await sleep(60);
      const later = await this.client.readService(names.service.name, context.signal);
      if ((later?.turnedAway ?? 0) > found.turnedAway + 10)
        throw new MillraceError({
          class: "platform",
          code: "WRONG_CALLERS",
          message: "Too many callers wait for the service.",
        });
    }
    await super.putService(request, names, context);
  }
}

class DropsEnvironment extends FakeDeployer {
  protected override specOf(request: Request, names: Names): Spec {
    const spec = super.specOf(request, names);
    const kept = Object.entries(spec.environment).filter(([name]) => name.startsWith("MILLRACE_"));
    return { ...spec, environment: Object.fromEntries(kept) };
  }
}

class ComparesSnapshots extends FakeDeployer {
  protected override async putService(
    request: Request,
    names: Names,
    context: DeployerContext,
  ): Promise<void> {
    const found = await this.client.readService(names.service.name, context.signal);
    if (found?.spec.snapshotId !== request.snapshot.id)
      await super.putService(request, names, context);
  }
}

class WritesIntoSnapshot extends FakeDeployer {
  override async provision(request: Request, context: DeployerContext): Promise<Observation> {
    if (request.artefact.kind === "bundle")
      await writeFile(join(request.artefact.directory, "service.json"), request.revision);
    return super.provision(request, context);
  }
}

class MakesAnother extends FakeDeployer {
  #made = 0;

  protected override async putService(
    request: Request,
    names: Names,
    context: DeployerContext,
  ): Promise<void> {
    const found = await this.client.readService(names.service.name, context.signal);
    if (found === null) return super.putService(request, names, context);
    const service = { kind: "service", name: `${names.service.name}-${++this.#made}` };
    await super.putService(request, { ...names, service }, context);
  }
}

class BeginsAnew extends FakeDeployer {
  protected override async putService(
    request: Request,
    names: Names,
    context: DeployerContext,
  ): Promise<void> {
    const found = await this.client.readService(names.service.name, context.signal);
    if (found === null) return super.putService(request, names, context);
    const spec = this.specOf(request, names);
    await this.updateService(names.service, request, spec, "rolling", context.signal);
  }
}

class GoneIsAnError extends FakeDeployer {
  override async deprovision(
    target: DeploymentTarget,
    context: DeployerContext,
  ): Promise<Observation> {
    const seen = await this.inspect(target, context);
    if (seen.state === "absent") throw notFound(target);
    return super.deprovision(target, context);
  }
}

function notFound(target: DeploymentTarget): MillraceError {
  return new MillraceError({
    class: "not_found",
    code: "WRONG_NOT_FOUND",
    message: `There is no deployment ${target.id}.`,
    action: "Provision it.",
  });
}

class Remembers extends FakeDeployer {
  readonly #known = new Set<string>();

  override provision(request: Request, context: DeployerContext): Promise<Observation> {
    this.#known.add(request.deployment.id);
    return super.provision(request, context);
  }

  override async inspect(target: DeploymentTarget, context: ReadContext): Promise<Observation> {
    const seen = await super.inspect(target, context);
    return this.#known.has(target.id)
      ? seen
      : { ...seen, state: "absent", url: null, serving: null, resources: [] };
  }
}

class SharesRequest extends FakeDeployer {
  #request: Request | null = null;

  override async provision(request: Request, context: DeployerContext): Promise<Observation> {
    this.#request = request;
    await sleep(5);
    return super.provision(request, context);
  }

  protected override specOf(request: Request, names: Names): Spec {
    return super.specOf(this.#request ?? request, names);
  }
}

class LeavesSecrets extends FakeDeployer {
  protected override async removeSecrets(): Promise<void> {}

  override async inspect(target: DeploymentTarget, context: ReadContext): Promise<Observation> {
    const seen = await super.inspect(target, context);
    const service = seen.resources.some(({ kind }) => kind === "service");
    return service ? seen : { ...seen, state: "absent", resources: [], error: null };
  }
}

class StopsAtMissing extends FakeDeployer {
  override async deprovision(
    target: DeploymentTarget,
    context: DeployerContext,
  ): Promise<Observation> {
    const found = await this.client.readService(this.names(target).service.name, context.signal);
    if (found !== null) return super.deprovision(target, context);
    const seen = await this.inspect(target, context);
    return { ...seen, state: "absent", resources: [], error: null };
  }
}

class KeepsFailed extends FakeDeployer {
  protected override async removeService(
    key: ResourceKey,
    context: DeployerContext,
  ): Promise<void> {
    const found = await this.client.readService(key.name, context.signal);
    if (found?.state !== "failed") await super.removeService(key, context);
  }
}

class Recreates extends FakeDeployer {
  protected override updateService(
    key: ResourceKey,
    request: Request,
    spec: Spec,
    _strategy: "rolling",
    signal: AbortSignal,
  ): Promise<ServiceView> {
    return super.updateService(key, request, spec, "recreate", signal);
  }
}

/** Its URL tells the snapshots apart. */
class MovesUrl extends FakeDeployer {
  override async inspect(target: DeploymentTarget, context: ReadContext): Promise<Observation> {
    const seen = await super.inspect(target, context);
    const service = await this.client.readService(this.names(target).service.name, context.signal);
    const moved = service?.spec.pipeline === "conformance_v2";
    return moved ? { ...seen, url: seen.url?.replace("127.0.0.1", "localhost") ?? null } : seen;
  }
}

export const wrongProvisions = [
  wrong("PROV-01", "needs-second-call", /roll-out .* has ended/, NeedsSecondCall),
  wrong("PROV-02", "never-updates", /another revision|waited in vain/, NeverUpdates),
  wrong("PROV-03", "drops-environment", /null/, DropsEnvironment),
  wrong("PROV-04", "compares-snapshots", /waited in vain/, ComparesSnapshots),
  wrong("PROV-05", "writes-into-snapshot", /folder was changed/, WritesIntoSnapshot),
  wrong("PROV-06", "asks-callers-to-leave", /callers wait/, AsksCallersToLeave),
  wrong("IDEM-01", "makes-another", /made or removed resources/, MakesAnother),
  wrong("IDEM-02", "begins-anew", /begun anew/, BeginsAnew),
  wrong("IDEM-03", "gone-is-an-error", /WRONG_NOT_FOUND/, GoneIsAnError),
  wrong("IDEM-04", "remembers", /another instance observes/, Remembers),
  wrong("ISO-01", "shares-request", /revision|waited in vain/, SharesRequest),
  wrong("DEPR-01", "leaves-secrets", /every resource is gone/, LeavesSecrets),
  wrong("DEPR-02", "stops-at-missing", /rest is gone/, StopsAtMissing),
  wrong("CLEAN-01", "keeps-failed", /waited in vain/, KeepsFailed),
  wrong("CAP-02", "moves-url", /URL changed/, MovesUrl),
  wrong("CAP-03", "recreates", /requests were lost/, Recreates),
];
