import { unanswered } from "./errors.ts";

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

/** How long an answer is waited for. */
export interface Patience {
  /** Ends everything. */
  readonly signal: AbortSignal;
  /** Milliseconds until an answer must begin. */
  readonly answerMs: number;
}

/** `fetch`, which itself waits five minutes for an answer to begin. What comes after that may take its time. */
export async function fetchAnswer(
  url: string | URL,
  init: RequestInit,
  { signal, answerMs }: Patience,
): Promise<Response> {
  const silence = new AbortController();
  const timer = setTimeout(() => {
    const error = new Error(`nothing came for ${answerMs / 1000} s`);
    silence.abort(Object.assign(error, { code: "ETIMEDOUT" }));
  }, answerMs);
  try {
    return await fetch(url, { ...init, signal: AbortSignal.any([signal, silence.signal]) });
  } finally {
    clearTimeout(timer);
  }
}

/** To upload takes long, and so does what a registry does with it before it answers. */
const PROMPT: ReadonlySet<RegistryRequest["method"]> = new Set(["GET", "HEAD", "POST"]);

/**
 * Sends a request once, and follows nothing.
 * @param header The Authorization header; undefined for none.
 * @throws MillraceError REGISTRY_UNREACHABLE, REGISTRY_CERTIFICATE; the signal's reason; what reading the body threw.
 */
export async function fetchOnce(
  url: URL,
  { method, what, headers, body }: RegistryRequest,
  header: string | undefined,
  { registry, signal, answerMs }: Patience & { readonly registry: string },
): Promise<Response> {
  const sent: Record<string, string> = { ...headers };
  if (header !== undefined) sent["authorization"] = header;
  const init: RequestInit = { method, headers: sent, redirect: "manual" };
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
    if (PROMPT.has(method)) return await fetchAnswer(url, init, { signal, answerMs });
    return await fetch(url, { ...init, signal });
  } catch (error) {
    signal.throwIfAborted();
    if (unread !== undefined) throw unread.error;
    throw unanswered(registry, what, error);
  }
}
