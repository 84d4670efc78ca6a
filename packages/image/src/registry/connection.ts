import { MillraceError, type RegistryCredentials } from "@millrace/core";
import type { Context } from "../image.ts";
import { apiHost } from "../reference.ts";
import { discard, readText } from "./answer.ts";
import { type Authorization, authorize } from "./authorization.ts";
import { findDockerLogin } from "./docker-login.ts";
import { refusal, unanswered, unauthorized } from "./errors.ts";
import { DEFAULT_RETRY, type RetryPolicy, retrying } from "./retry.ts";

export interface RegistryOptions {
  /** As it stands in references. */
  readonly registry: string;
  /** Null: the login that Docker's configuration file has for it, else none. */
  readonly credentials: RegistryCredentials | null;
  /** Allows HTTP without TLS for other than loopback hosts. */
  readonly plainHttp: boolean;
  readonly retry?: RetryPolicy | undefined;
  readonly context: Context;
}

/** Bytes that are sent as they come, with their length known. */
export interface Stream {
  readonly size: number;
  open(): AsyncIterable<Uint8Array>;
}

export interface RegistryRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH";
  /** An address, or a path below the registry's. */
  readonly url: string | URL;
  /** What is about to be done, for messages: `the upload of layer "code"`. */
  readonly what: string;
  /** Rights that it needs, in the words of the token specification. */
  readonly scopes: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | Stream;
  /** Statuses that the caller deals with. All others are errors. */
  readonly expected: readonly number[];
}

/** A registry that can be talked to. */
export interface Connection {
  readonly registry: string;
  readonly context: Context;
  /** One try. */
  send(request: RegistryRequest): Promise<Response>;
  /** Tries again where that can help: for requests that may be repeated. */
  request(request: RegistryRequest): Promise<Response>;
  /** Tries a task of several requests again, as `request` does with one. */
  retrying<T>(task: (advanced: () => void) => Promise<T>): Promise<T>;
  /** An address that an answer names. */
  resolve(location: string, answer: Response): URL;
}

const MOST_REDIRECTS = 5;
const FOLLOWED: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

export function isLoopback(host: string): boolean {
  const { hostname } = new URL(`http://${host}`);
  return hostname === "localhost" || hostname === "[::1]" || /^127(?:\.\d+){3}$/.test(hostname);
}

/** Loopback registries speak mostly plain HTTP, and sometimes TLS: the registry's answer tells. */
async function loopbackScheme(host: string, signal: AbortSignal): Promise<"http" | "https"> {
  let answer: Response;
  try {
    answer = await fetch(`http://${host}/v2/`, { redirect: "manual", signal });
  } catch (error) {
    signal.throwIfAborted();
    const failure = unanswered(host, "the first request", error);
    // A server that wants TLS may also just hang up on what it cannot read.
    if (
      ["ECONNRESET", "UND_ERR_SOCKET", "HPE_INVALID_CONSTANT"].includes(
        String(failure.details["code"]),
      )
    )
      return "https";
    throw failure;
  }
  const redirected = answer.headers.get("location")?.startsWith("https:") ?? false;
  if (answer.status !== 400) await discard(answer);
  else if (/https/i.test(await readText(answer))) return "https";
  return redirected ? "https" : "http";
}

export function connect(options: RegistryOptions): Connection {
  const { registry, credentials, plainHttp, retry = DEFAULT_RETRY, context } = options;
  const { signal } = context;
  const host = apiHost(registry);
  const loopback = isLoopback(host);
  let scheme: Promise<"http" | "https"> | undefined;

  function findScheme(): Promise<"http" | "https"> {
    if (!loopback) return Promise.resolve(plainHttp ? "http" : "https");
    scheme ??= loopbackScheme(host, signal).catch((error: unknown) => {
      scheme = undefined;
      throw error;
    });
    return scheme;
  }

  const authorization: Authorization = authorize({
    registry,
    findLogin: async () =>
      credentials === null ? findDockerLogin(registry) : { kind: "password", ...credentials },
    signal,
    trusts: (url) =>
      url.protocol === "https:" ||
      (url.protocol === "http:" && (isLoopback(url.host) || plainHttp)),
  });

  async function fetchOnce(url: URL, request: RegistryRequest, header: string | undefined) {
    const { method, what, headers, body } = request;
    const sent: Record<string, string> = { ...headers };
    if (header !== undefined) sent["authorization"] = header;
    const init: RequestInit = { method, headers: sent, redirect: "manual", signal };
    let unread: { readonly error: unknown } | undefined;
    async function* read(stream: Stream) {
      try {
        yield* stream.open();
      } catch (error) {
        unread = { error };
        throw error;
      }
    }
    if (body instanceof Uint8Array) init.body = body;
    else if (body !== undefined) {
      sent["content-length"] = String(body.size);
      Object.assign(init, { body: read(body), duplex: "half" });
    }
    try {
      return await fetch(url, init);
    } catch (error) {
      signal.throwIfAborted();
      if (unread !== undefined) throw unread.error;
      throw unanswered(registry, what, error);
    }
  }

  /** The login is shown to the registry alone, never to where it sends us. */
  async function fetchAuthorized(url: URL, origin: string, request: RegistryRequest) {
    if (url.origin !== origin) return fetchOnce(url, request, undefined);
    const { scopes, what } = request;
    const header = authorization.header(scopes);
    const answer = await fetchOnce(url, request, header);
    if (answer.status !== 401) return answer;
    await discard(answer);
    return fetchOnce(url, request, await authorization.answer(answer, scopes, what, header));
  }

  function resolve(location: string, answer: Response): URL {
    const url = new URL(location, answer.url);
    if (
      url.protocol === "http:" &&
      answer.url.startsWith("https:") &&
      !isLoopback(url.host) &&
      !plainHttp
    )
      throw new MillraceError({
        class: "platform",
        code: "REGISTRY_UNSAFE",
        message: `The registry ${registry} sends on to ${url.host} without TLS.`,
        action: "Nothing was sent there. Correct the address that the registry gives for itself.",
      });
    return url;
  }

  async function send(request: RegistryRequest): Promise<Response> {
    const origin = `${await findScheme()}://${host}`;
    let url = new URL(request.url, origin);
    for (let redirects = 0; ; redirects++) {
      const answer = await fetchAuthorized(url, new URL(origin).origin, request);
      if (request.expected.includes(answer.status)) return answer;
      if (answer.status === 401)
        throw unauthorized(registry, request.what, await authorization.hasLogin());
      const location = answer.headers.get("location");
      const repeatable =
        request.method === "GET" || request.method === "HEAD" || answer.status >= 307;
      if (
        !FOLLOWED.has(answer.status) ||
        location === null ||
        !repeatable ||
        redirects === MOST_REDIRECTS
      )
        throw await refusal(registry, request.what, answer);
      await discard(answer);
      url = resolve(location, answer);
    }
  }

  const retryingHere = <T>(task: (advanced: () => void) => Promise<T>) =>
    retrying(retry, context, task);
  return {
    registry,
    context,
    send,
    request: (request) => retryingHere(() => send(request)),
    retrying: retryingHere,
    resolve,
  };
}
