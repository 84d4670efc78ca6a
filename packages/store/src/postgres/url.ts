import { isIP } from "node:net";
import { MillraceError } from "@millrace/core";

/** Whether the URL of a store names a PostgreSQL database. */
export function isPostgresUrl(url: string): boolean {
  return /^postgres(?:ql)?:/i.test(url);
}

/**
 * A URL whose parts are where they belong.
 * @throws MillraceError `STORE_URL`
 */
export function checkedPostgresUrl(url: string): string {
  if (isWellFormed(url)) return url;
  throw new MillraceError({
    class: "usage",
    code: "STORE_URL",
    // It may hold a password, and where it is wrong nobody can tell which part that is.
    message: "The store's URL (postgres:…) is not well-formed.",
    action:
      "Write postgres://user:password@host:5432/database, with %-codes for special characters in user and password: / is %2F, ? is %3F, # is %23, @ is %40.",
  });
}

/** An `@` elsewhere than before the host, or a fragment, tells of a password that was cut: its rest is in another part. */
function isWellFormed(url: string): boolean {
  if (!/^postgres(?:ql)?:\/\/(?![^/?#:]*@[^/?#]*@)/i.test(url) || !URL.canParse(url)) return false;
  const { pathname, searchParams, hash } = new URL(url);
  return ![pathname, ...searchParams.keys(), hash].some((part) => /[@#]/.test(part));
}

/** The URL as messages may show it: user, host and database, without password and options. */
export function placeOfPostgres(url: string): string {
  if (!isWellFormed(url)) return "postgres://…";
  const { username, host, pathname } = new URL(url);
  return `postgres://${username === "" ? "" : `${username}@`}${host}${pathname}`;
}

/** Whether the server is at an address that means another machine elsewhere, and nothing in a container: loopback or a socket. */
export function isPostgresHere(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { hostname, searchParams } = new URL(url);
  const host = decodeURIComponent(searchParams.get("host") ?? hostname).replace(/^\[(.*)\]$/, "$1");
  if (host === "" || host.startsWith("/") || host === "::1") return true;
  return isIP(host) === 4 ? host.startsWith("127.") : /^(?:.*\.)?localhost\.?$/i.test(host);
}

/** The files that the URL names, by the option that names each. */
export function filesOfPostgres(url: string): readonly (readonly [option: string, path: string])[] {
  if (!URL.canParse(url)) return [];
  return [...new URL(url).searchParams].filter(
    ([option, path]) => /^ssl(?:rootcert|cert|key)$/.test(option) && path !== "",
  );
}
