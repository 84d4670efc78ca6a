import { MillraceError, toMillraceError } from "@millrace/core";
import type { DeleteResult } from "../client.ts";
import { unreachableCause } from "./bounds.ts";
import { deprovision } from "./deprovision.ts";
import type { Session } from "./session.ts";

/**
 * Deprovisions and removes the record. With `force` the record goes whatever the platform says; only the caller and the
 * loss of the lease stop that.
 * @throws MillraceError `DELETE_UNREACHABLE` when the platform cannot be asked.
 */
export async function remove(session: Session, force: boolean): Promise<DeleteResult> {
  try {
    await deprovision(session, "delete");
  } catch (thrown) {
    const error = toMillraceError(thrown);
    if (error.code === "LEASE_LOST" || session.bounds.ended === "aborted") throw error;
    if (!force) throw unreachableCause(error) === null ? error : unreachable(session, error);
    session.platform.progress(`The record is removed all the same: ${error.message}`);
  }
  const leftBehind = await session.platform.inventory();
  const { store, forget } = session.dependencies;
  const progress = (message: string) => session.platform.progress(message);
  // Before the record goes, which alone names what is to be forgotten.
  await forget(session.record, progress);
  await store.deployments.delete(session.record.id, session.lease);
  return { leftBehind };
}

function unreachable({ record }: Session, cause: MillraceError): MillraceError {
  return new MillraceError({
    class: "unreachable",
    code: "DELETE_UNREACHABLE",
    message: `Deployment "${record.name}" was not deleted, since its platform cannot be asked: ${cause.message}`,
    action: `${cause.action === undefined ? "" : `${cause.action} `}Then delete it again, or remove only the record with --force, which prints what it leaves behind.`,
    retryable: cause.retryable,
    cause,
  });
}
