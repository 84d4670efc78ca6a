import { isIP } from "node:net";

/** Whether the URL of a store names a PostgreSQL database. */
export function isPostgresUrl(url: string): boolean {
  return /^postgres(?:ql)?:/i.test(url);
}

/** The URL as messages may show it: user, host and database, without password and options. */
export function placeOfPostgres(url: string): string {
  if (!URL.canParse(url)) return "postgres://…";
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
