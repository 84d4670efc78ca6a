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

/**
 * Sends a request once, and follows nothing.
 * @param header The Authorization header; undefined for none.
 * @throws MillraceError REGISTRY_UNREACHABLE, REGISTRY_CERTIFICATE; the signal's reason; what reading the body threw.
 */
export async function fetchOnce(
  url: URL,
  { method, what, headers, body }: RegistryRequest,
  header: string | undefined,
  { registry, signal }: { readonly registry: string; readonly signal: AbortSignal },
): Promise<Response> {
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
