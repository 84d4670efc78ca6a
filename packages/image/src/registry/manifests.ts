import { sha256 } from "../digest.ts";
import type { Document } from "../image.ts";
import { DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "../media-types.ts";
import { isDigest } from "../reference.ts";
import { discard, readBytes } from "./answer.ts";
import type { Connection } from "./connection.ts";
import { corrupt } from "./errors.ts";

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

/** Null when there is nothing by that name. */
export async function getManifest(
  connection: Connection,
  repository: string,
  name: string,
): Promise<Document | null> {
  const what = `the manifest ${repository} ${name}`;
  const answer = await connection.request({
    method: "GET",
    url: `/v2/${repository}/manifests/${name}`,
    what,
    scopes: [pullScope(repository)],
    headers: { accept: ACCEPTED },
    expected: [200, 404],
  });
  if (answer.status === 404) {
    await discard(answer);
    return null;
  }
  const bytes = await readBytes(answer, LARGEST);
  const expected = isDigest(name) ? name : digestIn(answer);
  const digest = bytes === null ? "more than 4 MiB" : sha256(bytes);
  if (bytes === null || (expected !== undefined && digest !== expected))
    throw corrupt(connection.registry, what, expected ?? "a manifest", digest);
  return { digest, bytes };
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
  const digest = digestIn(answer) ?? manifest.digest;
  if (digest !== manifest.digest) throw corrupt(connection.registry, what, manifest.digest, digest);
}
