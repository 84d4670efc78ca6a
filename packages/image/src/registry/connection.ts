import { MillraceError, type RegistryCredentials } from "@millrace/core";
import type { Context } from "../image.ts";
import { apiHost, type RepositoryName } from "../reference.ts";
import { discard } from "./answer.ts";
import { type Authorization, authorize } from "./authorization.ts";
import { findDockerLogin } from "./docker-login.ts";
import { refusal, unauthorized } from "./errors.ts";
import { fetchOnce, type RegistryRequest } from "./request.ts";
import { DEFAULT_ANSWER_MS, DEFAULT_RETRY, type RetryPolicy, retrying } from "./retry.ts";
import { isLoopback, loopbackScheme, type Scheme } from "./scheme.ts";

export interface RegistryOptions {
  /** What is asked for there. */
  readonly name: RepositoryName;
  /** Null: the login that Docker's configuration file has for it, else none. */
  readonly credentials: RegistryCredentials | null;
  /** Allows HTTP without TLS for other than loopback hosts. */
  readonly plainHttp: boolean;
  readonly retry?: RetryPolicy | undefined;
  readonly context: Context;
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

/** Where an answer sends a request on to, unless it may not be repeated there. */
function onwards({ status, headers }: Response, { method }: RegistryRequest): string | null {
  const repeatable = method === "GET" || method === "HEAD" || status >= 307;
  return FOLLOWED.has(status) && repeatable ? headers.get("location") : null;
}

export function connect(options: RegistryOptions): Connection {
  const { name, credentials, plainHttp, retry = DEFAULT_RETRY, context } = options;
  const { registry } = name;
  const { signal } = context;
  const patience = { signal, answerMs: retry.answerMs ?? DEFAULT_ANSWER_MS };
  const host = apiHost(registry);
  const loopback = isLoopback(host);
  const about = { registry, ...patience };
  let scheme: Promise<Scheme> | undefined;

  function findScheme(): Promise<Scheme> {
    if (!loopback) return Promise.resolve(plainHttp ? "http" : "https");
    scheme ??= loopbackScheme(host, patience).catch((error: unknown) => {
      scheme = undefined;
      throw error;
    });
    return scheme;
  }

  /** TLS, or plain where that can do no harm or is allowed. */
  const trusts = (url: URL) =>
    url.protocol === "https:" || (url.protocol === "http:" && (isLoopback(url.host) || plainHttp));

  const authorization: Authorization = authorize({
    registry,
    findLogin: async () =>
      credentials === null ? findDockerLogin(name, signal) : { kind: "password", ...credentials },
    patience,
    trusts,
  });

  /** The login is shown to the registry alone, never to where it sends us. */
  async function fetchAuthorized(url: URL, origin: string, request: RegistryRequest) {
    if (url.origin !== origin) return fetchOnce(url, request, undefined, about);
    const { scopes, what } = request;
    const header = authorization.header(scopes);
    const answer = await fetchOnce(url, request, header, about);
    if (answer.status !== 401) return answer;
    await discard(answer);
    const next = await authorization.answer(answer, scopes, what, header);
    return fetchOnce(url, request, next, about);
  }

  function resolve(location: string, answer: Response): URL {
    const url = URL.parse(location, answer.url);
    // What came without TLS may go on so.
    if (url !== null && (trusts(url) || answer.url.startsWith("http:"))) return url;
    throw new MillraceError({
      class: "platform",
      code: "REGISTRY_UNSAFE",
      message: `The registry ${registry} sends on to ${JSON.stringify(location.slice(0, 200))}, which is no address with TLS.`,
      action: "Nothing was sent there. Correct the address that the registry gives for itself.",
    });
  }

  async function send(request: RegistryRequest): Promise<Response> {
    const origin = `${await findScheme()}://${host}`;
    let url = new URL(request.url, origin);
    for (let redirects = 0; ; redirects++) {
      const answer = await fetchAuthorized(url, new URL(origin).origin, request);
      if (request.expected.includes(answer.status)) return answer;
      if (answer.status === 401)
        throw unauthorized(registry, request.what, await authorization.hasLogin());
      const location = onwards(answer, request);
      if (location === null || redirects === MOST_REDIRECTS)
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
