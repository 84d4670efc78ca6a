import type { DeploymentRecord } from "@millrace/core";
import { unfinished } from "./history.ts";
import type { Begin, Ending, Session, Wanted } from "./session.ts";
import { readSighting } from "./verdict.ts";

const BEGIN: Begin = {
  kind: "refresh",
  snapshotId: null,
  revision: null,
  previousSnapshotId: null,
  overrides: {},
};

/**
 * Asks the platform and brings the record in line. A revision that an operation wanted and that serves now becomes the
 * recorded one. It is recorded as an operation when it ends another one: one that crashed, or was left to be picked up.
 */
export async function refresh(session: Session): Promise<DeploymentRecord> {
  // A plugin that is missing here says nothing about the deployment.
  await session.platform.deployer();
  const { crashed, wanted } = await unfinished(session.dependencies.store, session.record.id);
  const ending = await observe(session, wanted);
  if (crashed || ending.patch.snapshotId !== undefined) {
    await session.recordOperation(BEGIN, ending);
  } else {
    await session.update(ending.patch);
    if (ending.error !== null) throw ending.error;
  }
  return session.record;
}

async function observe(session: Session, wanted: Wanted | null): Promise<Ending> {
  try {
    const { sighting, finding } = await session.platform.lookUntilSure((seen) =>
      readSighting(seen, session.expected(wanted)),
    );
    await session.markMissing(sighting.observation);
    const patch = await session.findingPatch(finding, sighting.observation, wanted);
    return { outcome: "succeeded", error: null, patch };
  } catch (thrown) {
    const error = session.bounds.explain(thrown);
    const { ended } = session.bounds;
    if (ended === "lost" || error.code === "LEASE_LOST") throw error;
    // The caller did not wait for the answer: nothing was learned, and what was to be picked up still is.
    if (ended === "aborted") throw error;
    const patch = session.statusPatch("observed.unreachable", error.message);
    return { outcome: ended ?? "failed", error, patch };
  }
}
