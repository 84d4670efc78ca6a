import { isMillraceError } from "@millrace/core";
import { OLD_FORMAT, unsupported } from "../base-image.ts";
import { sha256 } from "../digest.ts";
import type { Document } from "../image.ts";
import {
  DOCKER_INDEX,
  DOCKER_MANIFEST,
  DOCKER_OLD_MANIFEST,
  OCI_INDEX,
  OCI_MANIFEST,
} from "../media-types.ts";
import { isDigest } from "../reference.ts";
import { discard, readBytes } from "./answer.ts";
import type { Connection } from "./connection.ts";
import { corrupt, unanswered } from "./errors.ts";

const ACCEPTED = [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST].join(", ");
/** The distribution specification has registries take at least this much; none takes more. */
const LARGEST = 4 * 1024 * 1024;

export function pullScope(repository: string): string {
  return `repository:${repository}:pull`;
}

export function pushScope(repository: string): string {
  return `repository:${repository}:pull,push`;
}

/** The digest that an answer names; undefined when it names none, or one of another kind. */
function digestIn(answer: Response): string | undefined {
  const digest = answer.headers.get("docker-content-digest");
  return digest !== null && isDigest(digest) ? digest : undefined;
}

/** Digest of what a tag or digest names; null when there is nothing, undefined when the registry does not tell. */
export async function headManifest(
  connection: Connection,
  repository: string,
  name: string,
  scope: string,
): Promise<string | null | undefined> {
  const answer = await connection.request({
    method: "HEAD",
    url: `/v2/${repository}/manifests/${name}`,
    what: `the look-up of ${repository} ${name}`,
    scopes: [scope],
    headers: { accept: ACCEPTED },
    expected: [200, 404],
  });
  await discard(answer);
  if (answer.status === 404) return null;
  return digestIn(answer);
}

/**
 * Null when there is nothing by that name.
 * @throws MillraceError BLOB_CORRUPT, IMAGE_UNSUPPORTED
 */
export function getManifest(
  connection: Connection,
  repository: string,
  name: string,
  scope: string,
): Promise<Document | null> {
  const { registry, context } = connection;
  const what = `the manifest ${repository} ${name}`;
  return connection.retrying(async () => {
    const answer = await connection.send({
      method: "GET",
      url: `/v2/${repository}/manifests/${name}`,
      what,
      scopes: [scope],
      headers: { accept: ACCEPTED },
      expected: [200, 404],
    });
    const old = answer.headers.get("content-type")?.startsWith(DOCKER_OLD_MANIFEST) ?? false;
    if (answer.status === 404 || old) await discard(answer);
    if (answer.status === 404) return null;
    // Its digest is that of a part of it.
    if (old) throw unsupported(`${registry}/${repository}`, OLD_FORMAT);
    const bytes = await readBytes(answer, LARGEST).catch((error: unknown) => {
      context.signal.throwIfAborted();
      throw unanswered(registry, what, error);
    });
    const expected = isDigest(name) ? name : digestIn(answer);
    const digest = bytes === null ? "more than 4 MiB" : sha256(bytes);
    if (bytes === null || (expected !== undefined && digest !== expected))
      throw corrupt(registry, what, expected ?? "a manifest", digest);
    return { digest, bytes };
  });
}

/** Whether a registry has a manifest. One that names no digest may be anything that answers, so the bytes must tell. */
export async function hasManifest(
  connection: Connection,
  repository: string,
  digest: string,
): Promise<boolean> {
  const scope = pushScope(repository);
  const named = await headManifest(connection, repository, digest, scope);
  if (named !== undefined) return named === digest;
  try {
    return (await getManifest(connection, repository, digest, scope)) !== null;
  } catch (error) {
    if (isMillraceError(error) && error.code === "BLOB_CORRUPT") return false;
    throw error;
  }
}

/**
 * Puts a manifest under a tag, or under its digest alone.
 * @throws MillraceError BLOB_CORRUPT when the registry has made something else of it.
 */
export async function putManifest(
  connection: Connection,
  repository: string,
  manifest: Document,
  tag: string | null,
): Promise<void> {
  const what = `the manifest of ${repository}`;
  const answer = await connection.request({
    method: "PUT",
    url: `/v2/${repository}/manifests/${tag ?? manifest.digest}`,
    what,
    scopes: [pushScope(repository)],
    headers: { "content-type": OCI_MANIFEST },
    body: manifest.bytes,
    expected: [200, 201, 202],
  });
  await discard(answer);
  const name = tag ?? manifest.digest;
  const digest =
    digestIn(answer) ??
    (await getManifest(connection, repository, name, pushScope(repository)))?.digest;
  if (digest !== manifest.digest)
    throw corrupt(connection.registry, what, manifest.digest, digest ?? "nothing");
}
