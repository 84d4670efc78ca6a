import { expect, test } from "vitest";
import { plain, styleFor } from "./style.ts";
import { formatFields, formatTable } from "./table.ts";

test("columns line up with wide characters and colours", () => {
  const colours = styleFor(true, {});
  const table = formatTable(
    ["NAME", "STATE"],
    [
      ["東京", colours("green", "up")],
      ["abcdef", "down"],
    ],
    plain,
  );
  expect(table).toBe(`NAME    STATE\n東京    ${colours("green", "up")}\nabcdef  down`);
});

test("a cell of several lines becomes one", () => {
  expect(formatTable(["A"], [["x\n  y"]], plain)).toBe("A\nx y");
});

test("a field of several lines is aligned", () => {
  expect(
    formatFields(
      [
        ["Key", "a\nb"],
        ["Longer", "c"],
      ],
      plain,
    ),
  ).toBe("Key     a\n        b\nLonger  c");
});

test.each([
  [true, {}, true],
  [false, {}, false],
  [true, { NO_COLOR: "1" }, false],
  [true, { NO_COLOR: "" }, true],
  [true, { TERM: "dumb" }, false],
  [false, { FORCE_COLOR: "1" }, true],
  [true, { FORCE_COLOR: "0" }, false],
])("a terminal %s with %j is coloured: %s", (isTerminal, environment, coloured) => {
  expect(styleFor(isTerminal, environment)("red", "x") !== "x").toBe(coloured);
});
