import {
  type DeployerContext,
  type DeploymentRequest,
  type DeploymentTarget,
  MillraceError,
  type Observation,
  type ReadContext,
  type ResourceChange,
} from "@millrace/core";
import { type Existing, FakeDeployer, type Names } from "../fake/deployer.ts";
import type { LogEntry } from "../fake/records.ts";
import type { FakeSettings } from "../fake/settings.ts";
import { wrong } from "./wrong-deployer.ts";

type Request = DeploymentRequest<FakeSettings>;

/** Changes what is observed. */
function seeing(
  change: (seen: Observation, target: DeploymentTarget) => Observation,
): typeof FakeDeployer {
  return class extends FakeDeployer {
    override async inspect(target: DeploymentTarget, context: ReadContext): Promise<Observation> {
      return change(await super.inspect(target, context), target);
    }
  };
}

function missing(): MillraceError {
  return new MillraceError({
    class: "not_found",
    code: "WRONG_NOT_FOUND",
    message: "The service was not found.",
    action: "Provision it.",
  });
}

const MissingThrows = seeing((seen) => {
  if (seen.state === "absent") throw missing();
  return seen;
});

const PartThrows = seeing((seen) => {
  if (seen.resources.length > 0 && !seen.resources.some(({ kind }) => kind === "service"))
    throw missing();
  return seen;
});

const CompleteEarly = seeing((seen) =>
  seen.rollout?.phase === "progressing"
    ? { ...seen, rollout: { ...seen.rollout, phase: "complete" } }
    : seen,
);

class InspectTouches extends FakeDeployer {
  override async inspect(target: DeploymentTarget, context: ReadContext): Promise<Observation> {
    const { name } = this.names(target).service;
    const service = await this.client.readService(name, context.signal);
    if (service?.state === "running")
      await this.client.updateService(
        name,
        { tags: service.tags, spec: service.spec, login: null, strategy: "rolling" },
        context.signal,
      );
    return super.inspect(target, context);
  }
}

/** Takes a service that is held for one that runs. */
function runningAlthough(held: "stopped" | "paused"): typeof FakeDeployer {
  return class extends FakeDeployer {
    protected override observe(existing: Existing, names: Names): Observation {
      const seen = super.observe(existing, names);
      const { service } = existing;
      if (service?.state !== held) return seen;
      const { revision, snapshotId } = service.spec;
      return { ...seen, state: "running", serving: { revision, snapshotId }, error: null };
    }
  };
}

/** Plans and provisions by the revision alone. */
class ResumesNothing extends FakeDeployer {
  protected override serviceChange(
    ...[request, names, service, values]: Parameters<FakeDeployer["serviceChange"]>
  ): ResourceChange {
    return service?.state === "paused" && service.rollout.revision === request.revision
      ? { ...names.service, action: "no-op", fields: [] }
      : super.serviceChange(request, names, service, values);
  }
}

class WipesMetadata extends FakeDeployer {
  override async provision(request: Request, context: DeployerContext): Promise<Observation> {
    const seen = await super.provision(request, context);
    return { ...seen, metadata: { size: request.settings.size } };
  }

  override async inspect(target: DeploymentTarget, context: ReadContext): Promise<Observation> {
    return { ...(await super.inspect(target, context)), metadata: {} };
  }
}

const FailedProgresses = seeing((seen) =>
  seen.state === "failed" ? { ...seen, state: "progressing", error: null } : seen,
);

class DeletesOnFailure extends FakeDeployer {
  override async provision(request: Request, context: DeployerContext): Promise<Observation> {
    let seen = await super.provision(request, context);
    while (seen.rollout?.phase === "progressing") {
      await context.clock.sleep(10, context.signal);
      seen = await this.inspect(request.deployment, context);
    }
    if (seen.rollout?.phase === "failed")
      await this.client.deleteService(this.names(request.deployment).service.name, context.signal);
    return seen;
  }
}

class NeverRecovers extends FakeDeployer {
  protected override async putService(
    request: Request,
    names: Names,
    context: DeployerContext,
  ): Promise<void> {
    const found = await this.client.readService(names.service.name, context.signal);
    if (found?.state === "failed") throw missing();
    await super.putService(request, names, context);
  }
}

class FailsWithoutLogs extends FakeDeployer {
  protected override async lines(): Promise<readonly LogEntry[]> {
    return [];
  }
}

export const wrongObservations = [
  wrong("OBS-01", "missing-throws", /WRONG_NOT_FOUND/, MissingThrows),
  wrong(
    "OBS-02",
    "hides-secrets",
    /observed resources are those/,
    seeing((seen) => ({
      ...seen,
      resources: seen.resources.filter(({ kind }) => kind === "service"),
    })),
  ),
  wrong("OBS-03", "complete-early", /another revision serves/, CompleteEarly),
  wrong(
    "OBS-03",
    "wanted-is-serving",
    /is said to serve/,
    seeing((seen) =>
      seen.serving === null || seen.rollout === null
        ? seen
        : { ...seen, serving: { ...seen.serving, revision: seen.rollout.revision } },
    ),
  ),
  wrong(
    "OBS-04",
    "wrong-snapshot",
    /snapshotId/,
    seeing((seen) =>
      seen.serving === null
        ? seen
        : { ...seen, serving: { ...seen.serving, snapshotId: "sha256:0" } },
    ),
  ),
  wrong("OBS-05", "inspect-touches", /inspect changed/, InspectTouches),
  wrong("OBS-06", "stopped-runs", /not running, or runs again/, runningAlthough("stopped")),
  wrong("OBS-07", "part-throws", /WRONG_NOT_FOUND/, PartThrows),
  wrong(
    "OBS-08",
    "trusts-inventory",
    /resources/,
    seeing((seen, { inventory }) => ({
      ...seen,
      resources: inventory.map(({ kind, name, platformId }) => ({ kind, name, platformId })),
    })),
  ),
  wrong("OBS-09", "wipes-metadata", /facts were lost/, WipesMetadata),
  wrong("OBS-10", "paused-runs", /not running, or runs again/, runningAlthough("paused")),
  wrong("OBS-10", "resumes-nothing", /does not run/, ResumesNothing),
  wrong("FAIL-01", "failed-progresses", /it is failed/, FailedProgresses),
  wrong("FAIL-02", "deletes-on-failure", /.*/, DeletesOnFailure),
  wrong("FAIL-03", "never-recovers", /WRONG_NOT_FOUND/, NeverRecovers),
  wrong("FAIL-04", "fails-without-logs", /carries the log/, FailsWithoutLogs),
];
