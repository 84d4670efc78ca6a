import type {
  DeployerContext,
  DeploymentRequest,
  Plan,
  ReadContext,
  ResourceChange,
} from "@millrace/core";
import { FakeDeployer, type Names } from "../fake/deployer.ts";
import type { ServiceView } from "../fake/records.ts";
import type { FakeSettings } from "../fake/settings.ts";
import { wrong } from "./wrong-deployer.ts";

type Request = DeploymentRequest<FakeSettings>;

const noJournal: DeployerContext["journal"] = {
  intend: async () => {},
  present: async () => {},
  gone: async () => {},
};

class PlanCreates extends FakeDeployer {
  override async plan(request: Request, context: ReadContext): Promise<Plan> {
    const plan = await super.plan(request, context);
    await this.provision(request, { ...context, journal: noJournal });
    return plan;
  }
}

/** Changes a plan after it was made. */
function replanned(change: (plan: Plan, request: Request) => Plan): typeof FakeDeployer {
  return class extends FakeDeployer {
    override async plan(request: Request, context: ReadContext): Promise<Plan> {
      return change(await super.plan(request, context), request);
    }
  };
}

function withChanges(plan: Plan, changes: readonly ResourceChange[]): Plan {
  return { ...plan, changes };
}

class IgnoresSettings extends FakeDeployer {
  protected override serviceChange(
    request: Request,
    names: Names,
    service: ServiceView | null,
    values: Readonly<Record<string, string>> | null,
  ): ResourceChange {
    return service?.spec.snapshotId === request.snapshot.id
      ? { ...names.service, action: "no-op", fields: [] }
      : super.serviceChange(request, names, service, values);
  }
}

class TrustsMetadata extends FakeDeployer {
  protected override serviceChange(
    request: Request,
    names: Names,
    service: ServiceView | null,
    values: Readonly<Record<string, string>> | null,
  ): ResourceChange {
    return service === null && "serviceId" in request.deployment.metadata
      ? { ...names.service, action: "no-op", fields: [] }
      : super.serviceChange(request, names, service, values);
  }
}

export const wrongPlans = [
  wrong("PLAN-01", "plan-creates", /plan changed the platform/, PlanCreates),
  wrong(
    "PLAN-02",
    "plan-forgets-secrets",
    /other resources than exist/,
    replanned((plan) =>
      withChanges(
        plan,
        plan.changes.filter(({ kind }) => kind === "service"),
      ),
    ),
  ),
  wrong(
    "PLAN-03",
    "plan-always-updates",
    /serves already/,
    replanned((plan) =>
      plan.action === "no-op"
        ? {
            ...plan,
            action: "update",
            changes: plan.changes.map((change) => ({ ...change, action: "update" })),
          }
        : plan,
    ),
  ),
  wrong("PLAN-04", "plan-ignores-settings", /plan of a change is no-op/, IgnoresSettings),
  wrong(
    "PLAN-04",
    "plan-names-no-field",
    /names no field/,
    replanned((plan) =>
      withChanges(
        plan,
        plan.changes.map((change) => ({ ...change, fields: [] })),
      ),
    ),
  ),
  wrong(
    "PLAN-05",
    "plan-says-replace",
    /plan's action is replace/,
    replanned((plan) => ({ ...plan, action: "replace" })),
  ),
  wrong("PLAN-06", "plan-trusts-metadata", /heals the missing/, TrustsMetadata),
  wrong(
    "PLAN-07",
    "plan-interrupts",
    /true !== false/,
    replanned((plan) => ({ ...plan, interrupts: true })),
  ),
];
