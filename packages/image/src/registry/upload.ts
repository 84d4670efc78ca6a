import { MillraceError } from "@millrace/core";
import type { Blob } from "../image.ts";
import { discard } from "./answer.ts";
import type { Connection } from "./connection.ts";
import { pullScope, pushScope } from "./manifests.ts";

/** How a blob got into a repository. */
export type Outcome = "present" | "mounted" | "uploaded";

export interface UploadTarget {
  readonly connection: Connection;
  readonly repository: string;
}

export async function hasBlob(
  { connection, repository }: UploadTarget,
  digest: string,
): Promise<boolean> {
  const answer = await connection.request({
    method: "HEAD",
    url: `/v2/${repository}/blobs/${digest}`,
    what: `the look-up of a layer of ${repository}`,
    scopes: [pushScope(repository)],
    expected: [200, 404],
  });
  await discard(answer);
  return answer.status === 200;
}

/** Where the next bytes of an upload go to. */
function uploadUrl(connection: Connection, answer: Response): URL {
  const location = answer.headers.get("location");
  if (location !== null) return connection.resolve(location, answer);
  throw new MillraceError({
    class: "platform",
    code: "REGISTRY_REFUSED",
    message: `The registry ${connection.registry} began an upload without saying where it goes.`,
    action: "Report this to whoever runs the registry.",
  });
}

/** Begins an upload; null when there is nothing to upload, as the blob came from another repository. */
async function begin(
  { connection, repository }: UploadTarget,
  digest: string,
  from: string | null,
): Promise<URL | null> {
  const query = from === null ? "" : `?${new URLSearchParams({ mount: digest, from })}`;
  const answer = await connection.request({
    method: "POST",
    url: `/v2/${repository}/blobs/uploads/${query}`,
    what: `an upload to ${repository}`,
    scopes: [pushScope(repository), ...(from === null ? [] : [pullScope(from)])],
    expected: [201, 202],
  });
  await discard(answer);
  return answer.status === 201 && from !== null ? null : uploadUrl(connection, answer);
}

/** Where an interrupted upload stands; null when the registry does not know it any more. */
async function standing(
  { connection, repository }: UploadTarget,
  url: URL,
): Promise<{ readonly url: URL; readonly offset: number } | null> {
  const answer = await connection.request({
    method: "GET",
    url,
    what: `the state of an upload to ${repository}`,
    scopes: [pushScope(repository)],
    expected: [200, 204, 400, 404, 405, 416],
  });
  await discard(answer);
  if (!answer.ok) return null;
  const last = Number(/-(\d+)$/.exec(answer.headers.get("range") ?? "")?.[1] ?? 0);
  const location = answer.headers.get("location");
  return {
    url: location === null ? url : connection.resolve(location, answer),
    // "0-0" is said of no byte as well as of one.
    offset: last === 0 ? 0 : last + 1,
  };
}

function startOver(connection: Connection, what: string, status: number): MillraceError {
  return new MillraceError({
    class: "unreachable",
    code: "REGISTRY_FAILED",
    message: `The registry ${connection.registry} lost ${what} (status ${status}).`,
    action: "Repeat the command.",
    retryable: true,
  });
}

/**
 * Brings a blob into a repository: from another repository of the registry where one has it, else by upload. After a cut
 * the registry is asked how far it came; where it knows that, only the rest is sent.
 *
 * A blob goes in one piece, as some registries take no others.
 */
export async function bring(
  target: UploadTarget,
  blob: Blob,
  what: string,
  from: string | null,
): Promise<Outcome> {
  const { connection, repository } = target;
  const { digest, size } = blob;
  const scopes = [pushScope(repository)];
  const body = (start: number) => ({ size: size - start, open: () => blob.open(start) });
  const finish = (url: URL) => {
    const complete = new URL(url);
    complete.searchParams.set("digest", digest);
    return complete;
  };
  const lost = [400, 404, 416];
  let upload: URL | null = null;

  async function advance(request: Parameters<Connection["send"]>[0]): Promise<Response> {
    const answer = await connection.send({ ...request, expected: [...request.expected, ...lost] });
    await discard(answer);
    if (!lost.includes(answer.status)) return answer;
    upload = null;
    throw startOver(connection, what, answer.status);
  }

  async function attempt(): Promise<Outcome> {
    const resumed = upload === null ? null : await standing(target, upload);
    if (upload !== null && resumed === null && (await hasBlob(target, digest))) return "uploaded";
    if (resumed !== null && resumed.offset > 0 && resumed.offset <= size) {
      const { offset } = resumed;
      upload = resumed.url;
      if (offset < size) {
        const headers = {
          "content-type": "application/octet-stream",
          "content-range": `${offset}-${size - 1}`,
        };
        const patch = { method: "PATCH", url: upload, what, scopes, headers } as const;
        const answer = await advance({ ...patch, body: body(offset), expected: [202, 204] });
        upload = uploadUrl(connection, answer);
      }
      await advance({ method: "PUT", url: finish(upload), what, scopes, expected: [201, 204] });
      return "uploaded";
    }
    upload = resumed?.offset === 0 ? resumed.url : await begin(target, digest, from);
    if (upload === null) return "mounted";
    const headers = { "content-type": "application/octet-stream" };
    const put = { method: "PUT", url: finish(upload), what, scopes, headers } as const;
    await advance({ ...put, body: body(0), expected: [201, 204] });
    return "uploaded";
  }

  return connection.retrying(attempt);
}
