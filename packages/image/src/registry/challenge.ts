/** What a registry asks for: one of the ways to show who calls. */
export interface Challenge {
  /** In lower case: `basic`, `bearer`. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: Readonly<Record<string, string>>;
}

/** More is not read: a header that long is no challenge. */
const LONGEST = 8192;

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const PARAMETER = new RegExp(`\\s*(${TOKEN})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${TOKEN}))`, "y");
const SCHEME = new RegExp(`[\\s,]*(${TOKEN})(?=[\\s,]|$)`, "y");
const COMMA = /\s*,/y;

function match(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/**
 * Reads a `WWW-Authenticate` header (RFC 9110, section 11.6.1). What cannot be read ends the list.
 */
export function parseChallenges(header: string): Challenge[] {
  const text = header.slice(0, LONGEST);
  const challenges: Challenge[] = [];
  let at = 0;
  for (;;) {
    const scheme = match(SCHEME, text, at);
    if (scheme === null) return challenges;
    at += scheme[0].length;
    const parameters = new Map<string, string>();
    for (;;) {
      const parameter = match(PARAMETER, text, at);
      if (parameter === null) break;
      at += parameter[0].length;
      const [, name = "", quoted, plain = ""] = parameter;
      const value = quoted?.replace(/\\(.)/g, "$1") ?? plain;
      if (!parameters.has(name.toLowerCase())) parameters.set(name.toLowerCase(), value);
      const comma = match(COMMA, text, at);
      // After a comma there is either one more parameter or the next challenge.
      if (comma === null || match(PARAMETER, text, at + comma[0].length) === null) break;
      at += comma[0].length;
    }
    challenges.push({
      scheme: (scheme[1] ?? "").toLowerCase(),
      parameters: Object.fromEntries(parameters),
    });
  }
}
