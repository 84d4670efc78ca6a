import { z } from "zod";
import { type ImageConfig, imageConfigSchema } from "./image-store.ts";
import type { RegistryLogin } from "./registry.ts";

const digestSchema = z.looseObject({ digest: z.string() });
const manifestSchema = z.looseObject({ config: digestSchema, layers: z.array(digestSchema) });

/** How a registry kept the platform from an image. */
export class PullFailed extends Error {
  readonly kind: "denied" | "missing" | "unavailable";

  constructor(kind: PullFailed["kind"], message: string, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
  }
}

/**
 * Takes an image from its registry: all its layers, and what is known of it.
 * @param reference Repository with digest.
 */
export async function pullImage(
  reference: string,
  login: RegistryLogin | null,
): Promise<ImageConfig> {
  const [name = "", digest = ""] = reference.split("@");
  const [host = "", ...path] = name.split("/");
  const get = (part: string) =>
    fetchAuthorized(`http://${host}/v2/${path.join("/")}/${part}`, login);
  const manifest = manifestSchema.parse(parseJson(await get(`manifests/${digest}`)));
  for (const layer of manifest.layers) await get(`blobs/${layer.digest}`);
  return imageConfigSchema.parse(parseJson(await get(`blobs/${manifest.config.digest}`)));
}

function parseJson(bytes: Uint8Array): unknown {
  return JSON.parse(Buffer.from(bytes).toString("utf8"));
}

async function fetchAuthorized(url: string, login: RegistryLogin | null): Promise<Uint8Array> {
  const headers = new Headers();
  if (login !== null) {
    const { username, password } = login;
    const basic = Buffer.from(`${username}:${password}`).toString("base64");
    headers.set("Authorization", `Basic ${basic}`);
  }
  let response: Response;
  let bytes: Uint8Array;
  try {
    response = await fetch(url, { headers });
    bytes = await response.bytes();
  } catch (cause) {
    throw new PullFailed("unavailable", "the connection to the registry was cut", cause);
  }
  if (response.ok) return bytes;
  if (response.status === 401) throw new PullFailed("denied", "the registry accepts no such login");
  if (response.status === 404) throw new PullFailed("missing", "the registry does not have it");
  throw new PullFailed("unavailable", `the registry answered ${response.status}`);
}
