import { MillraceError } from "@millrace/core";

/** Which image is meant, and where it is. */
export interface ImageReference {
  /** `host[:port]` as people write it; Docker Hub is `docker.io`. */
  readonly registry: string;
  /** Path in the registry; Docker Hub's official images are below `library/`. */
  readonly repository: string;
  /** Null only beside a digest. */
  readonly tag: string | null;
  readonly digest: string | null;
}

/** Registry and repository of an image, without tag or digest. */
export type RepositoryName = Pick<ImageReference, "registry" | "repository">;

const DOCKER_HUB = "docker.io";
const DOCKER_HUB_API = "registry-1.docker.io";
/** Names by which older tools and configuration files call Docker Hub. */
const DOCKER_HUB_ALIASES: ReadonlySet<string> = new Set([
  DOCKER_HUB,
  "index.docker.io",
  DOCKER_HUB_API,
]);

// The grammar is that of github.com/distribution/reference.
const LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const HOST = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*|\\[[0-9a-fA-F:]{2,45}\\])(?::[0-9]{1,5})?$`);
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const LONGEST_NAME = 255;
const LONGEST_REFERENCE = 512;

function invalid(text: string, why: string): MillraceError {
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text;
  return new MillraceError({
    class: "usage",
    code: "IMAGE_REFERENCE_INVALID",
    message: `${JSON.stringify(shown)} is no image reference: ${why}.`,
    action: "Write it as [registry[:port]/]repository[:tag][@sha256:digest], such as node:24-slim.",
  });
}

/** True for the digests that Millrace works with: `sha256:` and 64 hexadecimal digits. */
export function isDigest(text: string): boolean {
  return DIGEST.test(text);
}

/** Splits at the last `separator`; the second part is null when there is none. */
function splitLast(text: string, separator: string, after = -1): [string, string | null] {
  const at = text.lastIndexOf(separator);
  return at <= after ? [text, null] : [text.slice(0, at), text.slice(at + 1)];
}

/** True when the first part of a name is a registry and not the first folder of a repository: Docker's rule. */
function isHost(part: string): boolean {
  return /[.:[]/.test(part) || part === "localhost" || part !== part.toLowerCase();
}

function splitRegistry(name: string): [string, string] {
  const slash = name.indexOf("/");
  const first = name.slice(0, slash);
  if (slash === -1 || !isHost(first)) return [DOCKER_HUB, name];
  return [DOCKER_HUB_ALIASES.has(first) ? DOCKER_HUB : first, name.slice(slash + 1)];
}

function checkRegistry(text: string, registry: string): void {
  if (!HOST.test(registry))
    throw invalid(text, `${JSON.stringify(registry)} is no host of a registry`);
  const port = /:([0-9]+)$/.exec(registry)?.[1];
  if (port !== undefined && !registry.endsWith("]") && Number(port) > 65_535)
    throw invalid(text, `there is no port ${port}`);
}

function checkRepository(text: string, registry: string, repository: string): void {
  if (repository === "") throw invalid(text, "the repository is missing");
  if (repository !== repository.toLowerCase())
    throw invalid(text, `the repository ${JSON.stringify(repository)} has capital letters`);
  const wrong = repository.split("/").find((component) => !COMPONENT.test(component));
  if (wrong !== undefined)
    throw invalid(
      text,
      wrong === ""
        ? "a part of the repository is empty"
        : `${JSON.stringify(wrong)} in the repository may have only a-z, 0-9 and single separators (".", "_", "__", "-") between them`,
    );
  if (registry.length + 1 + repository.length > LONGEST_NAME)
    throw invalid(text, `the name is longer than ${LONGEST_NAME} characters`);
}

/**
 * Reads an image reference as Docker does: `node` is `docker.io/library/node:latest`.
 * @throws MillraceError IMAGE_REFERENCE_INVALID, saying what is wrong.
 */
export function parseImageReference(text: string): ImageReference {
  if (text === "") throw invalid(text, "it is empty");
  if (text.length > LONGEST_REFERENCE)
    throw invalid(text, `it is longer than ${LONGEST_REFERENCE} characters`);
  if (/^https?:\/\//.test(text)) throw invalid(text, "it begins with a URL's scheme");
  const [rest, digest] = splitLast(text, "@");
  if (digest !== null && !isDigest(digest))
    throw invalid(text, "after @ there must be sha256: and 64 hexadecimal digits in lower case");
  const [name, tag] = splitLast(rest, ":", rest.lastIndexOf("/"));
  if (tag !== null && !TAG.test(tag))
    throw invalid(
      text,
      `${JSON.stringify(tag)} is no tag: 1 to 128 letters, digits, "_", "." and "-", not beginning with "." or "-"`,
    );
  const [registry, path] = splitRegistry(name);
  checkRegistry(text, registry);
  const repository =
    registry === DOCKER_HUB && !path.includes("/") && path !== "" ? `library/${path}` : path;
  checkRepository(text, registry, repository);
  return { registry, repository, tag: tag ?? (digest === null ? "latest" : null), digest };
}

/**
 * Reads `host[:port]/path`, which has no tag and no digest.
 * @throws MillraceError IMAGE_REFERENCE_INVALID
 */
export function parseRepositoryName(text: string): RepositoryName {
  const { registry, repository, tag, digest } = parseImageReference(`${text}:latest`);
  if (tag !== "latest" || digest !== null)
    throw invalid(text, "a repository has no tag and no digest");
  return { registry, repository };
}

/** The reference in full, as Docker and every registry tool read it. */
export function formatImageReference({
  registry,
  repository,
  tag,
  digest,
}: ImageReference): string {
  return [
    `${registry}/${repository}`,
    tag === null ? "" : `:${tag}`,
    digest === null ? "" : `@${digest}`,
  ].join("");
}

/** The host that answers a registry's API calls. */
export function apiHost(registry: string): string {
  return registry === DOCKER_HUB ? DOCKER_HUB_API : registry;
}
