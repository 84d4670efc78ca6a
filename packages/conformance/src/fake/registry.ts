import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import type { RegistryFault } from "../harness.ts";
import { BASE_IMAGE, digestOf } from "./image-store.ts";

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const RETRY_SECONDS = 0.05;
const BASE_TAG = "24";

/** Who is let in. */
export interface RegistryLogin {
  readonly username: string;
  readonly password: string;
}

interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

/** A registry in memory that speaks the distribution API, as far as pushing and pulling images needs it. */
export class FakeRegistry {
  readonly login: RegistryLogin;
  /** How it fails now. */
  fault: RegistryFault | null = null;
  /** Blobs that were uploaded. */
  deliveries = 0;
  readonly #server: Server;
  readonly #blobs = new Map<string, Uint8Array>();
  /** By repository, and by digest or tag. */
  readonly #manifests = new Map<string, Uint8Array>();
  #uploads = 0;
  #host = "";

  private constructor(login: RegistryLogin) {
    this.login = login;
    this.#server = createServer((request, response) => {
      this.#handle(request, response).catch(() => response.destroy());
    });
  }

  static async start(login: RegistryLogin): Promise<FakeRegistry> {
    const registry = new FakeRegistry(login);
    registry.#server.listen(0, "127.0.0.1");
    await once(registry.#server, "listening");
    const address = registry.#server.address();
    if (address === null || typeof address === "string")
      throw new Error("the registry has no port");
    registry.#host = `127.0.0.1:${address.port}`;
    registry.#addBase();
    return registry;
  }

  /** `127.0.0.1:PORT` */
  get host(): string {
    return this.#host;
  }

  /** An image that others are put on. */
  get base(): string {
    return `${this.#host}/base:${BASE_TAG}`;
  }

  /** @param reference Repository with digest. */
  remove(reference: string): void {
    const [name = "", digest] = reference.slice(this.#host.length + 1).split("@");
    for (const [key, bytes] of this.#manifests)
      if (key.startsWith(`${name}:`) && digestOf(bytes) === digest) this.#manifests.delete(key);
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }

  #addBase(): void {
    const layer = gzipSync(BASE_IMAGE.layer);
    const config = Buffer.from(JSON.stringify(BASE_IMAGE.config));
    const described = (bytes: Uint8Array, mediaType: string) => {
      this.#blobs.set(digestOf(bytes), bytes);
      return { mediaType, digest: digestOf(bytes), size: bytes.length };
    };
    const manifest = {
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: described(config, "application/vnd.oci.image.config.v1+json"),
      layers: [described(layer, "application/vnd.oci.image.layer.v1.tar+gzip")],
    };
    this.#putManifest("base", BASE_TAG, Buffer.from(JSON.stringify(manifest)));
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://registry");
    const refusal = this.#refusal(request, url);
    if (refusal !== null) {
      request.resume();
      send(response, refusal);
      return;
    }
    const carriesLayer = ["PUT", "PATCH"].includes(request.method ?? "") && isBlob(url);
    if (carriesLayer && this.#cuts()) {
      request.once("data", () => request.destroy());
      return;
    }
    const answer = this.#route(request, url, await buffer(request));
    if (request.method === "GET" && isBlob(url) && this.#cuts()) {
      const { body = new Uint8Array() } = answer;
      response.writeHead(answer.status, { "Content-Length": body.length });
      response.write(body.subarray(0, body.length / 2), () => response.destroy());
      return;
    }
    send(response, answer, request.method === "HEAD");
  }

  /** The base image is for everybody to read. */
  #refusal({ headers }: IncomingMessage, { pathname }: URL): Answer | null {
    const { username, password } = this.login;
    const expected = `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
    const isKnown = headers.authorization === expected || pathname.startsWith("/v2/base/");
    if (this.fault === "unauthorized" || !isKnown)
      return { status: 401, headers: { "WWW-Authenticate": 'Basic realm="fake"' } };
    if (this.fault === "throttled")
      return { status: 429, headers: { "Retry-After": String(RETRY_SECONDS) } };
    return this.fault === "broken" ? { status: 500 } : null;
  }

  /** Once. */
  #cuts(): boolean {
    if (this.fault !== "cut") return false;
    this.fault = null;
    return true;
  }

  #route({ method = "GET" }: IncomingMessage, url: URL, body: Uint8Array): Answer {
    const [, name = "", area = "", rest = ""] =
      /^\/v2\/(.+)\/(manifests|blobs\/uploads|blobs)\/(.*)$/.exec(url.pathname) ?? [];
    switch (`${method === "HEAD" ? "GET" : method} ${area}`) {
      case "GET manifests":
        return found(this.#manifests.get(`${name}:${rest}`), MANIFEST);
      case "PUT manifests":
        return this.#putManifest(name, rest, body);
      case "GET blobs":
        return found(this.#blobs.get(rest), "application/octet-stream");
      case "POST blobs/uploads":
        return {
          status: 202,
          headers: { Location: `/v2/${name}/blobs/uploads/${++this.#uploads}` },
        };
      case "PUT blobs/uploads":
        return this.#putBlob(url.searchParams.get("digest") ?? "", body);
      case "GET ":
        return { status: 200 };
      default:
        return { status: 404 };
    }
  }

  #putManifest(name: string, reference: string, body: Uint8Array): Answer {
    for (const key of [reference, digestOf(body)]) this.#manifests.set(`${name}:${key}`, body);
    return { status: 201 };
  }

  #putBlob(digest: string, body: Uint8Array): Answer {
    if (digestOf(body) !== digest) return { status: 400 };
    this.#blobs.set(digest, body);
    this.deliveries++;
    return { status: 201 };
  }
}

function isBlob({ pathname }: URL): boolean {
  return pathname.includes("/blobs/");
}

function found(bytes: Uint8Array | undefined, type: string): Answer {
  if (bytes === undefined) return { status: 404 };
  const headers = { "Content-Type": type, "Docker-Content-Digest": digestOf(bytes) };
  return { status: 200, headers, body: bytes };
}

function send(response: ServerResponse, { status, headers, body }: Answer, isHead = false): void {
  response.writeHead(status, { ...headers, "Content-Length": body?.length ?? 0 });
  response.end(isHead ? undefined : body);
}
