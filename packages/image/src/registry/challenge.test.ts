import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Challenge, parseChallenges } from "./challenge.ts";

const token = fc.stringMatching(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}$/);
const challenge: fc.Arbitrary<Challenge> = fc.record({
  scheme: fc.stringMatching(/^[a-z][a-z0-9-]{0,9}$/),
  parameters: fc.dictionary(
    token.map((name) => name.toLowerCase()),
    fc.string({ unit: fc.stringMatching(/^[\x20-\x7e]$/), maxLength: 20 }),
    { maxKeys: 4, noNullPrototype: true },
  ),
});

function write({ scheme, parameters }: Challenge): string {
  const written = Object.entries(parameters).map(
    ([name, value]) => `${name}="${value.replace(/["\\]/g, "\\$&")}"`,
  );
  return `${scheme} ${written.join(", ")}`.trim();
}

describe("a registry's challenge", () => {
  it.each([
    ["Basic", [{ scheme: "basic", parameters: {} }]],
    [
      'Basic realm="Registry Realm"',
      [{ scheme: "basic", parameters: { realm: "Registry Realm" } }],
    ],
    [
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/node:pull"',
      [
        {
          scheme: "bearer",
          parameters: {
            realm: "https://auth.docker.io/token",
            service: "registry.docker.io",
            scope: "repository:library/node:pull",
          },
        },
      ],
    ],
    [
      'Bearer realm="a\\"b,c", error=invalid_token, Basic realm=x',
      [
        { scheme: "bearer", parameters: { realm: 'a"b,c', error: "invalid_token" } },
        { scheme: "basic", parameters: { realm: "x" } },
      ],
    ],
    ["", []],
    ['="x"', []],
  ])("%j is read", (header, expected) => {
    expect(parseChallenges(header)).toEqual(expected);
  });

  it("that was written by the rules is read back, also several in one header", () => {
    fc.assert(
      fc.property(fc.array(challenge, { maxLength: 3 }), (challenges) => {
        expect(parseChallenges(challenges.map(write).join(", "))).toEqual(challenges);
      }),
    );
  });

  it("that is anything at all is read to an end", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 10_000 }), (header) => {
        for (const { scheme } of parseChallenges(header)) expect(scheme).not.toBe("");
      }),
    );
  });
});
