import type { DeploymentRecord, OperationKind } from "@millrace/core";
import type { DeploymentPatch } from "@millrace/store";
import { READINGS } from "./platform.ts";
import type { Session } from "./session.ts";
import type { Finding } from "./verdict.ts";

/** Removes every resource and keeps the record. Nothing is asked when nothing was ever made. */
export async function deprovision(
  session: Session,
  kind: OperationKind = "deprovision",
): Promise<DeploymentRecord> {
  const { record, platform } = session;
  if (record.status === "ABSENT" && (await platform.inventory()).length === 0) return record;
  // A plugin that is missing here says nothing about the deployment.
  await platform.deployer();
  await session.operate({
    begin: {
      kind,
      snapshotId: null,
      revision: null,
      previousSnapshotId: record.snapshotId,
      overrides: {},
    },
    wanted: null,
    run: () => takeOutOfService(session),
  });
  return session.record;
}

async function takeOutOfService(session: Session): Promise<DeploymentPatch> {
  const { platform } = session;
  platform.progress("Removing it from the platform");
  const first = await platform.ask(async ({ deployer }) =>
    deployer.deprovision(await platform.target(), session.writeContext()),
  );
  let absent = 0;
  const observation = await platform.poll(
    first,
    () => platform.inspect(),
    (seen) => {
      absent = seen.state === "absent" ? absent + 1 : 0;
      if (absent === 0) platform.progress("Waiting until all of it is gone");
      return absent >= READINGS ? seen : null;
    },
  );
  await session.clearInventory();
  const finding: Finding = { event: "observed.absent", serving: null, reason: null };
  return session.findingPatch(finding, observation, null);
}
