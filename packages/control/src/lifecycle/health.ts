import { messageOf } from "@millrace/core";
import { z } from "zod";

/** What a service says of itself at `/health/ready`. */
const readySchema = z.object({
  deployment_id: z.string(),
  snapshot_id: z.string(),
  revision: z.string(),
});

/** A service's answer is far smaller; what answers more is not one. */
const MAX_BODY_BYTES = 65_536;

export type Health =
  | { readonly ready: true; readonly snapshotId: string; readonly revision: string }
  | { readonly ready: false; readonly reason: string };

/**
 * Asks the service at a URL whether it is ready and what it serves. Never throws: a service that cannot be asked is not
 * ready, and neither is one that belongs to another deployment.
 */
export async function askHealth(
  url: string,
  deploymentId: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Health> {
  try {
    const place = new URL("health/ready", url.endsWith("/") ? url : `${url}/`);
    return await ask(
      place,
      deploymentId,
      AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    );
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    return { ready: false, reason: `The service at ${url} does not answer: ${messageOf(cause)}` };
  }
}

async function ask(place: URL, deploymentId: string, signal: AbortSignal): Promise<Health> {
  const response = await fetch(place, {
    // A connection that is kept alive would keep the command from ending.
    headers: { connection: "close" },
    redirect: "manual",
    signal,
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    return { ready: false, reason: `${place.href} answers ${response.status}` };
  }
  const answer = readySchema.safeParse(parseJson(await boundedText(response)));
  if (!answer.success) return { ready: false, reason: `${place.href} is no Millrace service` };
  const { deployment_id, snapshot_id, revision } = answer.data;
  if (deployment_id !== deploymentId)
    return { ready: false, reason: `${place.href} is answered by deployment ${deployment_id}` };
  return { ready: true, snapshotId: snapshot_id, revision };
}

async function boundedText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let bytes = 0;
  let text = "";
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    // Leaving the loop ends the connection.
    if (bytes > MAX_BODY_BYTES) return "";
    text += decoder.decode(chunk, { stream: true });
  }
  return text;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
