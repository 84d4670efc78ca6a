import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { jsonFault } from "./json-fault.ts";

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

describe("jsonFault", () => {
  it.each([
    ["", 0],
    ["  ", 2],
    ['{"a":', 5],
    ['{"a" 1}', 5],
    ['{"a":NaN}', 5],
    ['{"a":1,}', 7],
    ["[1,]", 3],
    ["[1 2]", 3],
    ["[1]]", 3],
    ["[1}", 2],
    ["01", 1],
    ["1.", 1],
    ["nul", 0],
    ["{'a':1}", 1],
    ['"abc', 4],
    ['"a\\x"', 2],
    ['"a\\u12"', 2],
    ['"a\nb"', 2],
    ["\uFEFF{}", 0],
  ])("finds in %j the fault at %i", (text, at) => {
    expect(jsonFault(text)).toBe(at);
  });

  it("finds a fault where JSON.parse does, and nowhere else", () => {
    const characters = fc.constantFrom(..."{}[]:,\"\\01-+.eEtrufalsn \n\tbé\u007f\u2028'");
    const almost = fc
      .tuple(fc.json(), fc.nat(), fc.nat(3), characters)
      .map(([text, at, left, put]) => {
        const place = at % (text.length + 1);
        return text.slice(0, place) + put + text.slice(place + left);
      });
    const texts = fc.oneof(fc.json(), almost, fc.string({ unit: characters }), fc.string());
    fc.assert(
      fc.property(texts, (text) => {
        expect(jsonFault(text) === undefined).toBe(isJson(text));
      }),
      { numRuns: 3000 },
    );
  });

  it("finds it in a text that is nested as deep as a body can be", () => {
    expect(jsonFault("[".repeat(1_000_000))).toBe(1_000_000);
    expect(jsonFault("[".repeat(500_000) + "]".repeat(500_000))).toBeUndefined();
  });
});
