import { type DeploymentRecord, MillraceError } from "@millrace/core";
import type { DeleteResult, DeploymentPlan, DeployResult } from "../client.ts";
import { Bounds } from "./bounds.ts";
import { remove } from "./delete.ts";
import type { Call, DriverDependencies, ProvisionInput } from "./dependencies.ts";
import { deprovision } from "./deprovision.ts";
import { withLease } from "./lease.ts";
import { plan } from "./plan.ts";
import { Platform } from "./platform.ts";
import { provision } from "./provision.ts";
import { refresh } from "./refresh.ts";
import { Session } from "./session.ts";

/** Takes deployments through their lifecycle, by any deployer. */
export interface Driver {
  /** What provision would do now. Changes nothing. */
  plan(input: Omit<ProvisionInput, "kind" | "created" | "confirm">): Promise<DeploymentPlan>;
  provision(input: ProvisionInput): Promise<DeployResult>;
  refresh(record: DeploymentRecord, call: Call): Promise<DeploymentRecord>;
  deprovision(record: DeploymentRecord, call: Call): Promise<DeploymentRecord>;
  delete(record: DeploymentRecord, force: boolean, call: Call): Promise<DeleteResult>;
}

export function createDriver(dependencies: DriverDependencies): Driver {
  const session = <T>(
    record: DeploymentRecord,
    purpose: string,
    call: Call,
    work: (session: Session) => Promise<T>,
  ): Promise<T> =>
    withLease(dependencies, record, purpose, async ({ lease, signal }) => {
      // The record may have changed while the lease was somebody else's.
      const current = await dependencies.store.deployments.find(record.projectId, record.id);
      if (current === null) throw deploymentGone(record.name);
      const bounds = new Bounds(dependencies.clock, record.name, call, signal);
      const platform = new Platform(dependencies, current, call, bounds);
      try {
        return await work(new Session(dependencies, platform, bounds, lease));
      } finally {
        bounds.close();
      }
    });
  return {
    plan: (input) => plan(dependencies, input),
    provision: (input) =>
      session(input.record, input.kind, input.call, (one) => provision(one, input)),
    refresh: (record, call) => session(record, "refresh", call, refresh),
    deprovision: (record, call) => session(record, "deprovision", call, (one) => deprovision(one)),
    delete: (record, force, call) => session(record, "delete", call, (one) => remove(one, force)),
  };
}

function deploymentGone(name: string): MillraceError {
  return new MillraceError({
    class: "not_found",
    code: "DEPLOYMENT_NOT_FOUND",
    message: `Deployment "${name}" was deleted in the meantime.`,
    action: "Run `npx millrace deployment list` to see what there is.",
  });
}
