import { describe, expect, it } from "vitest";
import { servingSettingsSchema } from "./serving-settings.ts";

const issuesOf = (authKey: string) =>
  servingSettingsSchema.safeParse({ authKey }).error?.issues.map(({ message }) => message) ?? [];

describe("a key", () => {
  it.each(["0123456789abcdef", "!#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\""])("may be %s", (key) => {
    expect(issuesOf(key)).toEqual([]);
  });

  it.each([
    ["spaces", "correct horse battery staple"],
    ["letters beyond ASCII", "schlüssel-mit-umlaut"],
    ["a line break at its end", "0123456789abcdef\n"],
  ])("that a Bearer header cannot carry is refused: %s", (_what, key) => {
    expect(issuesOf(key)).toEqual([
      "must consist of letters, digits and punctuation of ASCII, without spaces: the Authorization header carries nothing else",
    ]);
  });
});
