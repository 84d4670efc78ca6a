import { discard, readText } from "./answer.ts";
import { unanswered } from "./errors.ts";
import { fetchAnswer, type Patience } from "./request.ts";

export type Scheme = "http" | "https";

export function isLoopback(host: string): boolean {
  const { hostname } = new URL(`http://${host}`);
  return hostname === "localhost" || hostname === "[::1]" || /^127(?:\.\d+){3}$/.test(hostname);
}

/** A server that wants TLS may also just hang up on what it cannot read. */
const HANGS_UP: ReadonlySet<unknown> = new Set([
  "ECONNRESET",
  "UND_ERR_SOCKET",
  "HPE_INVALID_CONSTANT",
]);

/** Loopback registries speak mostly plain HTTP, and sometimes TLS: the registry's answer tells. */
export async function loopbackScheme(host: string, patience: Patience): Promise<Scheme> {
  let answer: Response;
  try {
    answer = await fetchAnswer(`http://${host}/v2/`, { redirect: "manual" }, patience);
  } catch (error) {
    patience.signal.throwIfAborted();
    const failure = unanswered(host, "the first request", error);
    if (HANGS_UP.has(failure.details["code"])) return "https";
    throw failure;
  }
  const redirected = answer.headers.get("location")?.startsWith("https:") ?? false;
  if (answer.status !== 400) await discard(answer);
  else if (/https/i.test(await readText(answer))) return "https";
  return redirected ? "https" : "http";
}
