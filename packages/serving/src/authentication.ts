import { hash, timingSafeEqual } from "node:crypto";

/**
 * Headers that tell both ways in, so that a browser asks for the key (any user name) and a program knows the scheme. One
 * header each: browsers look at the first challenge of a header only.
 */
export const CHALLENGES = [
  "WWW-Authenticate",
  'Basic realm="millrace", charset="UTF-8"',
  "WWW-Authenticate",
  'Bearer realm="millrace"',
];

/**
 * Makes the check of the Authorization header against the SHA-256 of the key: `Bearer KEY`, or Basic with the key as
 * password. The comparison takes the same time wherever the keys differ.
 * @param keyHash Hexadecimal.
 */
export function makeAuthentication(
  keyHash: string,
): (authorization: string | undefined) => boolean {
  const wanted = Buffer.from(keyHash, "hex");
  return (authorization) => {
    const key = keyOf(authorization);
    return key !== undefined && timingSafeEqual(hash("sha256", key, "buffer"), wanted);
  };
}

function keyOf(authorization: string | undefined): string | undefined {
  const [, scheme, credentials] = /^(\S+) +(\S+) *$/.exec(authorization ?? "") ?? [];
  if (scheme === undefined || credentials === undefined) return undefined;
  switch (scheme.toLowerCase()) {
    case "bearer":
      return credentials;
    case "basic": {
      const pair = Buffer.from(credentials, "base64").toString("utf8");
      const colon = pair.indexOf(":");
      return colon === -1 ? undefined : pair.slice(colon + 1);
    }
    default:
      return undefined;
  }
}
