import { MillraceError } from "@millrace/core";
import { z } from "zod";
import { readText } from "./answer.ts";

const errorsSchema = z.object({
  errors: z.array(z.looseObject({ code: z.string(), message: z.string().optional() })).max(100),
});

/** What the distribution API says went wrong, such as `MANIFEST_UNKNOWN`. */
export interface RegistryFault {
  readonly code: string;
  readonly message: string;
}

export async function faultsOf(answer: Response): Promise<RegistryFault[]> {
  // An answer that is cut off tells by its status what it tells.
  const text = await readText(answer).catch(() => "");
  try {
    const { errors } = errorsSchema.parse(JSON.parse(text));
    return errors.map(({ code, message = "" }) => ({ code, message: message.slice(0, 300) }));
  } catch {
    return text.trim() === "" ? [] : [{ code: "", message: text.trim().slice(0, 300) }];
  }
}

/** Milliseconds that a Retry-After header asks for (RFC 9110: seconds or a date). */
export function retryAfter(answer: Response, now = Date.now()): number | undefined {
  const header = answer.headers.get("retry-after");
  if (header === null) return undefined;
  const seconds = Number(header);
  const wait = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - now;
  return Number.isFinite(wait) ? Math.max(0, wait) : undefined;
}

const TRANSIENT: ReadonlySet<number> = new Set([408, 425, 500, 502, 503, 504]);

/** The error for an answer that was not hoped for. */
export async function refusal(
  registry: string,
  what: string,
  answer: Response,
): Promise<MillraceError> {
  const { status } = answer;
  const faults = await faultsOf(answer);
  const said = faults
    .map(({ code, message }) => [code, message].filter(Boolean).join(": "))
    .join("; ");
  const details = { registry, status, faults };
  const because = said === "" ? "" : ` (${said})`;
  const waitMs = retryAfter(answer);
  if (status === 403)
    return new MillraceError({
      class: "platform",
      code: "REGISTRY_DENIED",
      message: `The registry ${registry} does not allow ${what}${because}.`,
      action: `Give the account that is logged in at ${registry} the right to do this, or log in with another one.`,
      details,
    });
  if (faults.some(({ code }) => code === "NAME_UNKNOWN"))
    return new MillraceError({
      class: "not_found",
      code: "REGISTRY_NO_REPOSITORY",
      message: `The registry ${registry} has no such repository for ${what}${because}.`,
      action: "Create the repository there first: this registry makes none by itself.",
      details,
    });
  if (status === 429)
    return new MillraceError({
      class: "unreachable",
      code: "REGISTRY_THROTTLED",
      message: `The registry ${registry} takes no more requests for now: ${what} was refused${because}.`,
      action: "Wait and repeat the command; logging in often raises the limit.",
      retryable: true,
      retryAfterMs: waitMs,
      details,
    });
  if (TRANSIENT.has(status))
    return new MillraceError({
      class: "unreachable",
      code: "REGISTRY_FAILED",
      message: `The registry ${registry} failed at ${what} with status ${status}${because}.`,
      action: "Repeat the command; if it goes on, look into the registry's own log.",
      retryable: true,
      retryAfterMs: waitMs,
      details,
    });
  return new MillraceError({
    class: "platform",
    code: "REGISTRY_REFUSED",
    message: `The registry ${registry} refused ${what} with status ${status}${because}.`,
    action: "Correct what the registry names and repeat the command.",
    details,
  });
}

export function unauthorized(registry: string, what: string, loggedIn: boolean): MillraceError {
  return new MillraceError({
    class: "platform",
    code: "REGISTRY_UNAUTHORIZED",
    message: loggedIn
      ? `The registry ${registry} does not accept the login for ${what}.`
      : `The registry ${registry} wants a login for ${what}.`,
    action: `Run "docker login ${registry}", or give the deployer credentials for it. Check the name as well: many registries say the same of what does not exist.`,
    details: { registry },
  });
}

const UNTRUSTED =
  "Set NODE_EXTRA_CA_CERTS to a file with the certificate of the authority that issued it, in PEM form.";

/** Node's and OpenSSL's names for what can be wrong with a certificate. */
const CERTIFICATE_FAULTS: Readonly<
  Record<string, { readonly what: string; readonly action: string }>
> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: { what: "is self-signed", action: UNTRUSTED },
  SELF_SIGNED_CERT_IN_CHAIN: {
    what: "comes from an authority that is not trusted here",
    action: UNTRUSTED,
  },
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: {
    what: "comes from an authority that is not known here",
    action: UNTRUSTED,
  },
  UNABLE_TO_GET_ISSUER_CERT: {
    what: "comes from an authority that is not known here",
    action: UNTRUSTED,
  },
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: {
    what: "comes from an authority that is not known here",
    action: UNTRUSTED,
  },
  CERT_HAS_EXPIRED: {
    what: "has expired",
    action: "Renew the registry's certificate, or correct this machine's clock.",
  },
  CERT_NOT_YET_VALID: {
    what: "is not valid yet",
    action: "Correct this machine's clock, or the registry's certificate.",
  },
  ERR_TLS_CERT_ALTNAME_INVALID: {
    what: "is for another host",
    action: "Use the host name that the certificate is for.",
  },
};

/** The codes in an error and its causes; fetch hides what happened two levels down. */
function codesOf(error: unknown): string[] {
  if (!(error instanceof Error)) return [];
  const own = "code" in error && typeof error.code === "string" ? [error.code] : [];
  const inner = error instanceof AggregateError ? error.errors : [error.cause];
  return [...own, ...inner.flatMap(codesOf)];
}

function innermost(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const inner = error instanceof AggregateError ? error.errors[0] : error.cause;
  return inner === undefined ? error.message : innermost(inner);
}

/** The error for a request that got no answer. */
export function unanswered(registry: string, what: string, cause: unknown): MillraceError {
  const codes = codesOf(cause);
  const details = { registry, ...(codes[0] === undefined ? {} : { code: codes[0] }) };
  const certificate = codes
    .map((code) => CERTIFICATE_FAULTS[code])
    .find((fault) => fault !== undefined);
  if (certificate !== undefined)
    return new MillraceError({
      class: "unreachable",
      code: "REGISTRY_CERTIFICATE",
      message: `The certificate of the registry ${registry} ${certificate.what}.`,
      action: certificate.action,
      details,
      cause,
    });
  return new MillraceError({
    class: "unreachable",
    code: "REGISTRY_UNREACHABLE",
    message: `The registry ${registry} gave no answer to ${what}: ${innermost(cause)}.`,
    action: `Check that ${registry} is its address, that it runs, and that this machine's network reaches it.`,
    // A name that no server knows does not come to be known by waiting; what has no code is refused on this machine.
    retryable: codes.length > 0 && !codes.includes("ENOTFOUND"),
    details,
    cause,
  });
}

/** The error for bytes that are not what their digest or their size says. */
export function corrupt(
  registry: string,
  what: string,
  expected: string,
  actual: string,
): MillraceError {
  return new MillraceError({
    class: "platform",
    code: "BLOB_CORRUPT",
    message: `The registry ${registry} has other bytes for ${what} than the image says: ${expected} was meant, ${actual} came.`,
    action: "Nothing of it is kept. Push the image to the registry again, or ask whoever runs it.",
    details: { registry, expected, actual },
  });
}
