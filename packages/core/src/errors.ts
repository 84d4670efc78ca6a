import { redact, type Secret } from "./secret.ts";

/** What kind of failure an error is. Each class is one exit code of the command, so that scripts can branch on it. */
export const ERROR_CLASSES = {
  internal: { exitCode: 1, meaning: "a fault of Millrace itself" },
  usage: { exitCode: 2, meaning: "the command, its arguments or a configuration file are wrong" },
  not_found: { exitCode: 3, meaning: "the named thing does not exist" },
  conflict: { exitCode: 4, meaning: "another operation, owner or rule stands in the way" },
  pipeline: { exitCode: 5, meaning: "the pipeline's own code failed" },
  platform: { exitCode: 6, meaning: "the back end refused or failed the request" },
  unreachable: { exitCode: 7, meaning: "the back end, service or store cannot be reached" },
  timeout: { exitCode: 8, meaning: "the deadline passed; the work may go on" },
  aborted: { exitCode: 130, meaning: "stopped by the caller" },
} as const satisfies Record<string, { exitCode: number; meaning: string }>;

export type ErrorClass = keyof typeof ERROR_CLASSES;

/** One fault inside a larger input: where it is and what is wrong with it. */
export interface Issue {
  /** Path of object keys and array indexes from the root of the input; empty for the root itself. */
  readonly path: readonly (string | number)[];
  readonly message: string;
}

export interface MillraceErrorOptions {
  readonly class: ErrorClass;
  /** Stable, upper-case, never reused for another meaning: programs match on it. */
  readonly code: string;
  /** What happened, in one sentence, naming the thing it happened to. */
  readonly message: string;
  /** What the reader can do about it. */
  readonly action?: string | undefined;
  /** True when the same call may succeed later without any change. Default false. */
  readonly retryable?: boolean | undefined;
  /** How long to wait before a retry, in milliseconds, where the other side said so. */
  readonly retryAfterMs?: number | undefined;
  readonly issues?: readonly Issue[] | undefined;
  /** Facts for programs and for the details view (ids, last log lines). Never secrets. */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
  readonly cause?: unknown;
}

const BRAND = Symbol.for("millrace.error");

/** The one error type of Millrace: a class for the exit code, a stable code, what happened, what to do, the cause. */
export class MillraceError extends Error {
  readonly [BRAND] = true;
  readonly class: ErrorClass;
  readonly code: string;
  readonly action: string | undefined;
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;
  readonly issues: readonly Issue[];
  readonly details: Readonly<Record<string, unknown>>;

  constructor(options: MillraceErrorOptions) {
    super(options.message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "MillraceError";
    this.class = options.class;
    this.code = options.code;
    this.action = options.action;
    this.retryable = options.retryable ?? false;
    this.retryAfterMs = options.retryAfterMs;
    this.issues = options.issues ?? [];
    this.details = options.details ?? {};
  }
}

/** Recognises errors of any copy of this package: a bundled pipeline carries its own. */
export function isMillraceError(value: unknown): value is MillraceError {
  try {
    return value instanceof Error && BRAND in value;
  } catch {
    // A proxy may refuse to be looked at.
    return false;
  }
}

/** The message of anything that was thrown. It never throws itself, whatever was thrown. */
export function messageOf(thrown: unknown): string {
  try {
    if (typeof thrown !== "object" || thrown === null) return String(thrown);
    // Errors of another realm are no instances of ours.
    return "message" in thrown ? String(thrown.message) : String(thrown);
  } catch {
    return "something was thrown that cannot be described";
  }
}

/** Any thrown value as a MillraceError; one that is none already becomes `internal`/`INTERNAL` with the value as its cause. */
export function toMillraceError(thrown: unknown): MillraceError {
  if (isMillraceError(thrown)) return thrown;
  return new MillraceError({
    class: "internal",
    code: "INTERNAL",
    message: messageOf(thrown),
    action:
      "This is a fault of Millrace or of a plugin: please report it with the output of --debug.",
    cause: thrown,
  });
}

/** The part of an error that is stored in records and printed as JSON: no stack, no cause chain, no secrets. */
export interface ErrorSummary {
  readonly class: ErrorClass;
  readonly code: string;
  readonly message: string;
  readonly action?: string;
  readonly retryable: boolean;
  readonly issues?: readonly Issue[];
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Longest message of a summary, in UTF-16 code units: code of a pipeline may throw texts of any size. */
const MAX_MESSAGE = 16_384;
/** Room for the words that say how much was left out. */
const CUT_NOTE = 64;
/** Details nest no deeper than this, except when they contain themselves. */
const MAX_DEPTH = 16;

/**
 * An error as it may be stored and sent: a message of more than 16,384 characters is cut and says how many were left out.
 * @param secrets What the process knows: their clear values are replaced by `[secret]` in all texts.
 */
export function summarizeError(thrown: unknown, secrets: Iterable<Secret> = []): ErrorSummary {
  const error = toMillraceError(thrown);
  const known = [...secrets];
  const clean = (text: string): string => redact(text, known);
  return {
    class: error.class,
    code: error.code,
    message: cut(clean(error.message)),
    ...(error.action === undefined ? {} : { action: clean(error.action) }),
    retryable: error.retryable,
    ...(error.issues.length === 0
      ? {}
      : { issues: error.issues.map(({ path, message }) => ({ path, message: clean(message) })) }),
    ...(Object.keys(error.details).length === 0
      ? {}
      : { details: known.length === 0 ? error.details : cleanMembers(error.details, clean, 0) }),
  };
}

function cut(message: string): string {
  if (message.length <= MAX_MESSAGE) return message;
  const kept = MAX_MESSAGE - CUT_NOTE;
  return `${message.slice(0, kept)} … (${message.length - kept} characters left out)`;
}

function cleanMembers(
  members: Readonly<Record<string, unknown>>,
  clean: (text: string) => string,
  depth: number,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(members).map(([name, value]) => [name, cleanValue(value, clean, depth)]),
  );
}

function cleanValue(value: unknown, clean: (text: string) => string, depth: number): unknown {
  if (typeof value === "string") return clean(value);
  if (typeof value !== "object" || value === null) return value;
  if (depth === MAX_DEPTH) return "(nested too deep)";
  if (Array.isArray(value)) return value.map((item) => cleanValue(item, clean, depth + 1));
  const isPlain = [Object.prototype, null].includes(Object.getPrototypeOf(value));
  return isPlain ? cleanMembers({ ...value }, clean, depth + 1) : value;
}

/** Turns a stored summary back into an error that can be thrown. */
export function errorFromSummary(summary: ErrorSummary): MillraceError {
  return new MillraceError(summary);
}
