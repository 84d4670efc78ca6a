type Kind = "{" | "}" | "[" | "]" | ":" | "," | "string" | "scalar";
type State = "value" | "item or ]" | "key" | "key or }" | ":" | "in {" | "in [" | "end";

const VALUE = { string: "after", scalar: "after", "{": "key or }", "[": "item or ]" } as const;

/** What may come, and what may come after it; after a value that depends on what it lies in. */
const GRAMMAR: Readonly<Record<State, Readonly<Partial<Record<Kind, State | "after">>>>> = {
  value: VALUE,
  "item or ]": { ...VALUE, "]": "after" },
  key: { string: ":" },
  "key or }": { string: ":", "}": "after" },
  ":": { ":": "value" },
  "in {": { ",": "key", "}": "after" },
  "in [": { ",": "value", "]": "after" },
  end: {},
};

const SPACE = /[ \t\n\r]*/y;
const SCALAR = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[\da-fA-F]{4})/y;
const FIRST_PRINTABLE = 0x20;

/**
 * Where a text stops being JSON, to be told to people: JSON.parse tells it in some cases only. The offset of the first
 * token that is wrong, or of the character in a string; the text's length when it ends too early; undefined when it is
 * JSON.
 */
export function jsonFault(text: string): number | undefined {
  const open: ("{" | "[")[] = [];
  let state: State = "value";
  for (let at = past(SPACE, text, 0); at < text.length; at = past(SPACE, text, at)) {
    const kind = kindAt(text, at);
    const next: State | "after" | undefined = kind === undefined ? undefined : GRAMMAR[state][kind];
    if (kind === undefined || next === undefined) return at;
    if (kind === "{" || kind === "[") open.push(kind);
    if (kind === "}" || kind === "]") open.pop();
    const inside = open.at(-1);
    state = next !== "after" ? next : inside === undefined ? "end" : `in ${inside}`;
    if (kind !== "string") at = kind === "scalar" ? past(SCALAR, text, at) : at + 1;
    else {
      at = pastCharacters(text, at + 1);
      if (text[at] !== '"') return at;
      at++;
    }
  }
  return state === "end" ? undefined : text.length;
}

/** The same in words: `"b" is not expected at line 1, column 2`. */
export function describeJsonFault(text: string): string {
  const at = jsonFault(text) ?? text.length;
  const before = text.slice(0, at).split("\n");
  const place = `line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`;
  const found = text.codePointAt(at);
  return found === undefined
    ? `it ends too early, at ${place}`
    : `${JSON.stringify(String.fromCodePoint(found))} is not expected at ${place}`;
}

function kindAt(text: string, at: number): Kind | undefined {
  const character = text[at];
  switch (character) {
    case "{":
    case "}":
    case "[":
    case "]":
    case ":":
    case ",":
      return character;
    case '"':
      return "string";
    default:
      return past(SCALAR, text, at) > at ? "scalar" : undefined;
  }
}

/** Where the characters of a string end. */
function pastCharacters(text: string, from: number): number {
  let at = from;
  while (at < text.length && text[at] !== '"' && text.charCodeAt(at) >= FIRST_PRINTABLE) {
    const end = text[at] === "\\" ? past(ESCAPE, text, at) : at + 1;
    if (end === at) return at;
    at = end;
  }
  return at;
}

/** Where a match of the sticky pattern ends that begins here; here when there is none. */
function past(pattern: RegExp, text: string, from: number): number {
  pattern.lastIndex = from;
  return pattern.test(text) ? pattern.lastIndex : from;
}
