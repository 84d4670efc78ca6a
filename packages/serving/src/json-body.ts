import { isUtf8 } from "node:buffer";
import type { IncomingHttpHeaders } from "node:http";
import { describeJsonFault, type Issue, MillraceError } from "@millrace/core";
import { requestInvalid } from "./request-body.ts";

/** What reads a body further on may call itself for each level: JSON.stringify does, and SQLite stops at 1000. */
export const MAX_NESTING = 500;

const BYTE_ORDER_MARK = 0xfeff;
const CHARSET = /;[ \t]*charset[ \t]*=[ \t]*"?([^\s;"]*)/i;

/**
 * Reads a body that is said to be JSON. Every request pays for it.
 * @throws MillraceError `MEDIA_TYPE_UNSUPPORTED`, `CONTENT_ENCODING_UNSUPPORTED`, `BODY_MALFORMED`, `REQUEST_INVALID`
 */
export function readJsonBody(headers: IncomingHttpHeaders, bytes: Buffer): unknown {
  const { "content-type": type, "content-encoding": encoding } = headers;
  if (type !== "application/json") checkCharset(type ?? "");
  if (encoding !== undefined) checkEncoding(encoding);
  if (!isUtf8(bytes)) throw malformed("its bytes are no UTF-8");
  const decoded = bytes.toString("utf8");
  const text = decoded.charCodeAt(0) === BYTE_ORDER_MARK ? decoded.slice(1) : decoded;
  const value = parseJson(text);
  const issue = refusal(value, 0);
  if (issue !== undefined) throw requestInvalid([issue]);
  return value;
}

function checkCharset(type: string): void {
  const [, charset = "utf-8"] = CHARSET.exec(type) ?? [];
  if (/^utf-?8$/i.test(charset)) return;
  throw unreadable("MEDIA_TYPE_UNSUPPORTED", `The body is said to be in ${charset}: send UTF-8.`);
}

function checkEncoding(encoding: string): void {
  if (/^(?:identity)?$/i.test(encoding)) return;
  throw unreadable(
    "CONTENT_ENCODING_UNSUPPORTED",
    `The body is said to be encoded with ${encoding}: send it as it is.`,
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw malformed(faultOf(text));
  }
}

function faultOf(text: string): string {
  if (text.length === 0) {
    return 'it is empty. Send {"parameters": {…}}, or leave out the header Content-Type';
  }
  return describeJsonFault(text);
}

/** What no step should be handed, although it is JSON: the first such thing that is found. */
function refusal(value: unknown, depth: number): Issue | undefined {
  if (typeof value === "number") {
    return Number.isFinite(value) ? undefined : { path: [], message: "is too large a number" };
  }
  if (typeof value !== "object" || value === null) return undefined;
  // No path: it would be as long as the nesting is deep.
  if (depth >= MAX_NESTING) throw requestInvalid([TOO_DEEP]);
  if (Array.isArray(value)) return refusalInArray(value, depth);
  return isObject(value) ? refusalInObject(value, depth) : undefined;
}

/** What JSON.parse returns as an object has nothing but own, enumerable members. */
function isObject(value: object): value is Readonly<Record<string, unknown>> {
  return !Array.isArray(value);
}

const TOO_DEEP: Issue = { path: [], message: `must not be nested more than ${MAX_NESTING} deep` };

function refusalInArray(items: readonly unknown[], depth: number): Issue | undefined {
  for (let index = 0; index < items.length; index++) {
    const found = refusal(items[index], depth + 1);
    if (found !== undefined) return { ...found, path: [index, ...found.path] };
  }
  return undefined;
}

function refusalInObject(
  object: Readonly<Record<string, unknown>>,
  depth: number,
): Issue | undefined {
  for (const key in object) {
    const value = object[key];
    const found = isDangerous(key, value) ? DANGEROUS : refusal(value, depth + 1);
    if (found !== undefined) return { ...found, path: [key, ...found.path] };
  }
  return undefined;
}

/** Code that copies objects key by key would change prototypes by it. */
function isDangerous(key: string, value: unknown): boolean {
  if (key === "__proto__") return true;
  return (
    key === "constructor" &&
    typeof value === "object" &&
    value !== null &&
    Object.hasOwn(value, "prototype")
  );
}

const DANGEROUS: Issue = {
  path: [],
  message: "this key is refused: it could change the prototype of objects",
};

function malformed(why: string): MillraceError {
  return unreadable("BODY_MALFORMED", `The body is no well-formed JSON: ${why}.`);
}

function unreadable(code: string, message: string): MillraceError {
  return new MillraceError({ class: "usage", code, message });
}
