import { messageOf } from "@millrace/core";
import { z } from "zod";

/** What a service says of itself at `/health/ready`. */
const readySchema = z.object({
  deployment_id: z.string(),
  snapshot_id: z.string(),
  revision: z.string(),
});

export type Health =
  | {
      readonly ready: true;
      readonly deploymentId: string;
      readonly snapshotId: string;
      readonly revision: string;
    }
  | { readonly ready: false; readonly reason: string };

/** Asks a service whether it is ready and what it serves. Never throws: a service that cannot be asked is not ready. */
export async function askHealth(
  url: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Health> {
  const place = new URL("health/ready", url.endsWith("/") ? url : `${url}/`);
  try {
    const response = await fetch(place, {
      // A connection that is kept alive would keep the command from ending.
      headers: { connection: "close" },
      redirect: "manual",
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
    const body: unknown = await response.json();
    if (response.status !== 200)
      return { ready: false, reason: `${place.href} answers ${response.status}` };
    const answer = readySchema.safeParse(body);
    if (!answer.success) return { ready: false, reason: `${place.href} is no Millrace service` };
    const { deployment_id, snapshot_id, revision } = answer.data;
    return { ready: true, deploymentId: deployment_id, snapshotId: snapshot_id, revision };
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    return { ready: false, reason: `${place.href} does not answer: ${messageOf(cause)}` };
  }
}
