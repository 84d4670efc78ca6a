import { type DeploymentRecord, MillraceError, type User } from "@millrace/core";
import type { Store } from "@millrace/store";

/** Changing another user's deployment has to be asked for. @throws MillraceError `NOT_OWNER` */
export function mustOwn(record: DeploymentRecord, user: User, overtake: boolean): void {
  if (record.userId === user.id || overtake) return;
  throw new MillraceError({
    class: "conflict",
    code: "NOT_OWNER",
    message: `Deployment "${record.name}" belongs to ${record.userName}.`,
    action: "Pass --overtake (overtake: true) if it shall be changed all the same.",
  });
}

/** A deployment stays with the stack that made it. @throws MillraceError `STACK_MISMATCH` */
export function mustKeepStack(record: DeploymentRecord, stack: string | undefined): void {
  if (stack === undefined || stack === record.stack) return;
  throw new MillraceError({
    class: "conflict",
    code: "STACK_MISMATCH",
    message: `Deployment "${record.name}" was made with the stack "${record.stack}" and cannot be updated with "${stack}".`,
    action: `Leave the stack out, or delete the deployment first: npx millrace deployment delete ${record.name}`,
  });
}

/** What the stack says of a deployer of another flavor is not for this deployment. */
export function deployerChanged(record: DeploymentRecord, flavor: string): MillraceError {
  return new MillraceError({
    class: "conflict",
    code: "DEPLOYER_CHANGED",
    message: `Deployment "${record.name}" was made with the deployer "${record.deployer}" of flavor "${record.flavor}", which is of flavor "${flavor}" now.`,
    action: `Give the deployer of flavor "${flavor}" another name, or delete the deployment first: npx millrace deployment delete ${record.name}`,
  });
}

/** A snapshot has at most one deployment. @throws MillraceError `SNAPSHOT_DEPLOYED` */
export async function mustBeFree(
  store: Store,
  projectId: string,
  snapshotId: string,
  record: DeploymentRecord,
): Promise<void> {
  const other = await store.deployments.findBySnapshot(projectId, snapshotId);
  if (other === null || other.id === record.id) return;
  throw new MillraceError({
    class: "conflict",
    code: "SNAPSHOT_DEPLOYED",
    message: `This snapshot is deployed as "${other.name}" already, and a snapshot has at most one deployment.`,
    action: `Update that one (--name ${other.name}), delete it first (npx millrace deployment delete ${other.name}), or deploy from another project (\`project\` in the configuration).`,
    details: { deployment: other.name },
  });
}

/** What a flavor's own rules say. @throws MillraceError `SETTINGS_REFUSED` */
export function mustPass(faults: readonly string[], flavor: string): void {
  if (faults.length === 0) return;
  throw new MillraceError({
    class: "usage",
    code: "SETTINGS_REFUSED",
    message: `The deployer of flavor "${flavor}" refuses this: ${faults.join(" ")}`,
    action: "Change what is named and try again.",
    issues: faults.map((message) => ({ path: [], message })),
  });
}
