import { isMillraceError, MillraceError } from "@millrace/core";
import { megabytes } from "../byte-count.ts";
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

/** One try. What answers with another size has something else, or is no registry. */
export async function hasBlob(
  { connection, repository }: UploadTarget,
  { digest, size }: Pick<Blob, "digest" | "size">,
): Promise<boolean> {
  const answer = await connection.send({
    method: "HEAD",
    url: `/v2/${repository}/blobs/${digest}`,
    what: `the look-up of a layer of ${repository}`,
    scopes: [pushScope(repository)],
    expected: [200, 404],
  });
  await discard(answer);
  const length = answer.headers.get("content-length");
  return answer.status === 200 && (length === null || Number(length) === size);
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
  const answer = await connection.send({
    method: "POST",
    url: `/v2/${repository}/blobs/uploads/${query}`,
    what: `an upload to ${repository}`,
    scopes: [pushScope(repository), ...(from === null ? [] : [pullScope(from)])],
    expected: [201, 202],
  });
  await discard(answer);
  return answer.status === 201 && from !== null ? null : uploadUrl(connection, answer);
}

/** A mount saves an upload, and is nothing to fail for: the login may lack the right to read the other repository. */
async function beginOrMount(upload: Upload, from: string | null): Promise<URL | null> {
  const { digest } = upload.blob;
  if (from === null) return begin(upload, digest, null);
  try {
    return await begin(upload, digest, from);
  } catch (error) {
    if (!isMillraceError(error) || error.class !== "platform") throw error;
    return begin(upload, digest, null);
  }
}

/** Where an interrupted upload stands; null when the registry does not know it any more. */
async function standing(
  { connection, repository }: UploadTarget,
  url: URL,
): Promise<{ readonly url: URL; readonly offset: number } | null> {
  const answer = await connection.send({
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

/** Answers to an upload that the registry does not know any more, or knows in another state. */
const LOST: ReadonlySet<unknown> = new Set([400, 404, 416]);
/** How often a blob is sent anew after one of them: it may as well be meant for the blob. */
const MOST_LOSSES = 5;

const BYTES = { "content-type": "application/octet-stream" } as const;

function completing(url: URL, digest: string): URL {
  const complete = new URL(url);
  complete.searchParams.set("digest", digest);
  return complete;
}

/** What goes on with one blob. */
interface Upload extends UploadTarget {
  /** For messages: `layer code`. */
  readonly name: string;
  readonly blob: Blob;
}

const TELL_EVERY_MS = 3000;

/** Tells how far an upload is while it takes long. */
async function* telling(
  { connection, blob, name }: Upload,
  start: number,
): AsyncGenerator<Uint8Array> {
  let sent = start;
  let next = performance.now() + TELL_EVERY_MS;
  for await (const chunk of blob.open(start)) {
    yield chunk;
    sent += chunk.length;
    if (performance.now() < next) continue;
    next = performance.now() + TELL_EVERY_MS;
    const percent = Math.floor((100 * sent) / blob.size);
    connection.context.progress(`Pushing ${name}: ${percent} % are sent`);
  }
}

/** Sends all of a blob. In one piece, as some registries take no others. */
async function sendWhole(upload: Upload, url: URL): Promise<void> {
  const { connection, repository, blob, name } = upload;
  const { registry, context } = connection;
  context.progress(`Pushing ${name} (${megabytes(blob.size)}) to ${registry}/${repository}`);
  const answer = await connection.send({
    method: "PUT",
    url: completing(url, blob.digest),
    what: `the upload of ${name}`,
    scopes: [pushScope(repository)],
    headers: BYTES,
    body: { size: blob.size, open: () => telling(upload, 0) },
    expected: [201, 204],
  });
  await discard(answer);
}

/** Sends what the registry has not got of a blob. */
async function sendRest(upload: Upload, url: URL, offset: number): Promise<void> {
  const { connection, repository, blob, name } = upload;
  const what = `the upload of ${name}`;
  const { size, digest } = blob;
  const scopes = [pushScope(repository)];
  let next = url;
  if (offset < size) {
    const answer = await connection.send({
      method: "PATCH",
      url,
      what,
      scopes,
      headers: { ...BYTES, "content-range": `${offset}-${size - 1}` },
      body: { size: size - offset, open: () => telling(upload, offset) },
      expected: [202, 204],
    });
    await discard(answer);
    next = uploadUrl(connection, answer);
  }
  const put = { method: "PUT", url: completing(next, digest), what, scopes } as const;
  await discard(await connection.send({ ...put, expected: [201, 204] }));
}

/**
 * Brings a blob into a repository: from another repository of the registry where one has it, else by upload. After a cut
 * the registry is asked how far it came; where it knows that, only the rest is sent.
 */
export async function bring(upload: Upload, from: string | null): Promise<Outcome> {
  const { connection, blob } = upload;
  let open: URL | null = null;
  let furthest = 0;
  let losses = 0;

  async function attempt(advanced: () => void): Promise<Outcome> {
    if (open !== null) {
      const stands = await standing(upload, open);
      if (stands !== null && stands.offset > 0 && stands.offset <= blob.size) {
        if (stands.offset > furthest) advanced();
        furthest = Math.max(furthest, stands.offset);
        open = stands.url;
        await sendRest(upload, stands.url, stands.offset);
        return "uploaded";
      }
      // The last answer may have been lost, and not what was sent.
      if (stands === null && (await hasBlob(upload, blob))) return "uploaded";
    }
    open = null;
    open = await beginOrMount(upload, from);
    if (open === null) return "mounted";
    await sendWhole(upload, open);
    return "uploaded";
  }

  return connection.retrying(async (advanced) => {
    try {
      return await attempt(advanced);
    } catch (error) {
      const lost = open !== null && isMillraceError(error) && LOST.has(error.details["status"]);
      if (!lost || losses++ === MOST_LOSSES) throw error;
      open = null;
      throw retryable(error);
    }
  });
}

/** The same error, which may be gone the next time. */
function retryable(error: MillraceError): MillraceError {
  const { code, message, action, details } = error;
  return new MillraceError({
    class: error.class,
    code,
    message,
    action,
    details,
    retryable: true,
    cause: error,
  });
}
