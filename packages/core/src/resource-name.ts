import { createHash } from "node:crypto";
import { MillraceError } from "./errors.ts";

/** What a platform allows as a name. */
export interface NameRule {
  readonly maxLength: number;
  /** Characters beside `a-z`, `0-9` and `-` that may stay. Default none. */
  readonly extra?: string;
  /** Put before the name, to tell ours from others'. Default `millrace`. */
  readonly prefix?: string;
}

/**
 * The name of a platform resource: prefix, as much of the readable name as fits, and 12 hexadecimal digits of a digest
 * of the deployment's id. Deterministic, lower-case, begins with a letter, ends with a hexadecimal digit; two
 * deployments never share one although their names may fold to the same text.
 */
export function resourceName(
  deployment: { readonly id: string; readonly name: string },
  rule: NameRule,
): string {
  const prefix = rule.prefix ?? "millrace";
  const id = createHash("sha256").update(deployment.id).digest("hex").slice(0, 12);
  const room = rule.maxLength - prefix.length - id.length - 2;
  if (room < -1) {
    throw new MillraceError({
      class: "usage",
      code: "NAME_TOO_LONG",
      message: `The prefix "${prefix}" leaves no room for a name of at most ${rule.maxLength} characters.`,
      action: "Choose a shorter prefix.",
    });
  }
  const readable = fold(deployment.name, rule.extra ?? "")
    .slice(0, Math.max(0, room))
    .replace(/^-+|-+$/g, "");
  return [prefix, readable, id].filter((part) => part !== "").join("-");
}

function fold(name: string, extra: string): string {
  return [...name.normalize("NFKD").toLowerCase()]
    .map((character) => (/[a-z0-9]/.test(character) || extra.includes(character) ? character : "-"))
    .join("")
    .replace(/-{2,}/g, "-");
}

const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$/;

/**
 * Checks a name that a user gives to a deployment, snapshot, stack, component or project: 1 to 128 letters, digits,
 * `.`, `_` and `-`, beginning and ending with a letter or digit.
 * @throws MillraceError `NAME_INVALID`, with a usable name in the advice.
 */
export function validName(kind: string, name: string): string {
  if (NAME.test(name)) return name;
  const usable = name
    .normalize("NFKD")
    .replaceAll(/\p{M}/gu, "")
    .replaceAll(/[^A-Za-z0-9._-]+/g, "-")
    .slice(0, 128)
    .replaceAll(/^[._-]+|[._-]+$/g, "");
  const shown = JSON.stringify(name.length > 60 ? `${name.slice(0, 60)}…` : name);
  throw new MillraceError({
    class: "usage",
    code: "NAME_INVALID",
    message: `${shown} is no usable ${kind} name${name.length > 128 ? `: it has ${name.length} characters` : ""}.`,
    action: `Use 1 to 128 letters, digits, ".", "_" and "-", beginning and ending with a letter or digit${usable === "" ? "" : `, for example ${usable}`}.`,
  });
}
