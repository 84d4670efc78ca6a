import { type MillraceError, messageOf } from "@millrace/core";
import { type Fault, LOCKED, storeError } from "../fault.ts";

const LOGIN: Fault = {
  class: "usage",
  code: "STORE_LOGIN",
  what: "refuses the user or the password",
  action: "Correct user and password in the store's URL.",
};
const TLS: Fault = {
  class: "usage",
  code: "STORE_TLS",
  what: "cannot be reached with this kind of encryption",
  action:
    "Add ?sslmode=verify-full to the store's URL when the server asks for TLS (and &sslrootcert=FILE for a certificate authority of your own), or ?sslmode=disable when it knows none.",
};
const TURNED_AWAY: Fault = {
  class: "usage",
  code: "STORE_TLS",
  what: "takes no connection from here without encryption",
  action:
    "Add ?sslmode=verify-full to the store's URL where the server speaks TLS; else let its pg_hba.conf take in the address that it names.",
};
const FILE: Fault = {
  class: "usage",
  code: "STORE_TLS",
  what: "cannot be reached: a file that its URL names cannot be read, or holds no certificate or key",
  action:
    "Correct sslrootcert, sslcert or sslkey in the store's URL. Without sslrootcert the authorities count that Node knows.",
};
const NO_DATABASE: Fault = {
  class: "usage",
  code: "STORE_MISSING",
  what: "has no such database or schema",
  action: "Create it (create database …), or correct the name in the store's URL.",
};
const DENIED: Fault = {
  class: "usage",
  code: "STORE_DENIED",
  what: "does not let this user do that",
  action:
    "Make the user the owner of the database, or grant it create and usage on the schema and all rights on its tables.",
};
const READ_ONLY: Fault = {
  class: "unreachable",
  code: "STORE_READ_ONLY",
  what: "cannot be written: it is a standby, or set to read-only",
  action: "Set the store's URL to the primary server.",
  retryable: true,
};
const FULL: Fault = {
  class: "unreachable",
  code: "STORE_FULL",
  what: "cannot grow: the server's disk is full",
  action: "Free some space there and run the command again. Nothing was half-written.",
  retryable: true,
};
const UNREACHABLE: Fault = {
  class: "unreachable",
  code: "STORE_UNREACHABLE",
  what: "cannot be reached",
  action:
    "See that the server runs, that host and port in the store's URL are right, and that this machine may connect to it.",
  retryable: true,
};
const CORRUPT: Fault = {
  class: "internal",
  code: "STORE_CORRUPT",
  what: "is damaged",
  action: "Restore the database from a backup. Deployments that run go on.",
};
const VALUE: Fault = {
  class: "usage",
  code: "STORE_VALUE",
  what: "cannot keep a text with a null character",
  action: "Leave the null character out.",
};
const TOO_LARGE: Fault = {
  class: "usage",
  code: "STORE_VALUE",
  what: "cannot keep a value of this size",
  action: "Make it smaller: a name shorter, or a payload by `tracking.maxPayloadBytes`.",
};
const LIMIT: Fault = {
  class: "platform",
  code: "STORE_LIMIT",
  what: "has stopped this at a limit of its server",
  action:
    "Raise that limit for the store's user (for one of time: alter role … set statement_timeout = …), or free what is used up there, and run the command again. Nothing was half-written.",
  retryable: true,
};

/** By SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html), or by its class of two characters. */
const BY_STATE: Readonly<Record<string, Fault>> = {
  "08": UNREACHABLE,
  "22021": VALUE, // character_not_in_repertoire
  "25006": READ_ONLY,
  "25P03": LIMIT, // idle_in_transaction_session_timeout
  "25P04": LIMIT, // transaction_timeout
  "28": LOGIN,
  "3D000": NO_DATABASE,
  "3F000": NO_DATABASE,
  "40001": LOCKED, // serialization_failure
  "40P01": LOCKED, // deadlock_detected
  "42501": DENIED,
  "42703": CORRUPT, // undefined_column: tables are not as our statements, which never change, know them
  "42P01": CORRUPT, // undefined_table
  "42P07": CORRUPT, // duplicate_table
  "53": LIMIT, // insufficient_resources
  "53100": FULL,
  "53300": UNREACHABLE, // too_many_connections
  "54": TOO_LARGE, // program_limit_exceeded
  "55P03": LOCKED, // lock_not_available
  "57014": LIMIT, // query_canceled: statement_timeout, or somebody did it
  "57P01": UNREACHABLE, // admin_shutdown
  "57P02": UNREACHABLE, // crash_shutdown
  "57P03": UNREACHABLE, // cannot_connect_now
  "57P04": NO_DATABASE, // database_dropped
  "57P05": UNREACHABLE, // idle_session_timeout
  XX001: CORRUPT, // data_corrupted
  XX002: CORRUPT, // index_corrupted
};

/** By the code of Node's error. */
const BY_SYSTEM_CODE: Readonly<Record<string, Fault>> = {
  EACCES: UNREACHABLE,
  EAI_AGAIN: UNREACHABLE,
  ECONNREFUSED: UNREACHABLE,
  ECONNRESET: UNREACHABLE,
  EHOSTUNREACH: UNREACHABLE,
  ENETUNREACH: UNREACHABLE,
  ENOENT: UNREACHABLE,
  ENOTFOUND: UNREACHABLE,
  EPIPE: UNREACHABLE,
  ETIMEDOUT: UNREACHABLE,
  CERT_HAS_EXPIRED: TLS,
  DEPTH_ZERO_SELF_SIGNED_CERT: TLS,
  SELF_SIGNED_CERT_IN_CHAIN: TLS,
  UNABLE_TO_GET_ISSUER_CERT: TLS,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: TLS,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: TLS,
  ERR_TLS_CERT_ALTNAME_INVALID: TLS,
};

/** By the text of an error of pg, which has no codes. */
const BY_MESSAGE: readonly (readonly [pattern: RegExp, fault: Fault])[] = [
  [/server does not support SSL|error establishing an SSL connection/, TLS],
  [/^SASL: /, LOGIN],
  [/Connection terminated|timeout expired|timeout exceeded|not queryable/, UNREACHABLE],
];

/** A transaction that did nothing and may go through when it is tried again. */
const RETRYABLE = new Set([
  "23503", // foreign_key_violation: what was checked before has changed meanwhile
  "23505", // unique_violation: the same
  "40001", // serialization_failure
  "40P01", // deadlock_detected
  "53300", // too_many_connections
  "57P03", // cannot_connect_now: the server starts
]);

export function isRetryable(thrown: unknown): boolean {
  return RETRYABLE.has(codeOf(thrown) ?? "");
}

export function translatePostgresError(thrown: unknown, place: string): MillraceError | null {
  const fault = faultOf(thrown);
  return fault === undefined ? null : storeError(fault, place, textOf(thrown), thrown);
}

function faultOf(thrown: unknown): Fault | undefined {
  const code = codeOf(thrown);
  // Whether it would take in an encrypted one the server does not say: "no pg_hba.conf entry for …, no encryption".
  if (code === "28000" && /no encryption|SSL off/.test(textOf(thrown))) return TURNED_AWAY;
  if (isOfFile(thrown, code)) return FILE;
  if (code !== null)
    return BY_STATE[code] ?? BY_STATE[code.slice(0, 2)] ?? BY_SYSTEM_CODE[code] ?? undefined;
  if (!(thrown instanceof Error)) return undefined;
  return BY_MESSAGE.find(([pattern]) => pattern.test(thrown.message))?.[1];
}

/** A connection fails by the same codes as a file, but not at its opening. */
function isOfFile(thrown: unknown, code: string | null): boolean {
  if (code === "EISDIR" || code?.startsWith("ERR_OSSL_")) return true;
  return thrown instanceof Error && "syscall" in thrown && thrown.syscall === "open";
}

/** SQLSTATE or Node's code. */
function codeOf(thrown: unknown): string | null {
  if (!(thrown instanceof Error) || !("code" in thrown)) return null;
  return typeof thrown.code === "string" ? thrown.code : null;
}

/** A host with several addresses fails once for each, and the whole has no text. */
function textOf(thrown: unknown): string {
  return thrown instanceof AggregateError
    ? thrown.errors.map(messageOf).join("; ")
    : messageOf(thrown);
}
