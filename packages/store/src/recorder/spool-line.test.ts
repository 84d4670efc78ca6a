import fc from "fast-check";
import { expect, test } from "vitest";
import { parseSpoolLine, spoolLine } from "./spool-line.ts";

const nullable = <T>(one: fc.Arbitrary<T>) => fc.option(one);
const text = () => fc.string({ unit: "grapheme" });

test("a line gives back its run, and every part of a line gives nothing", () => {
  const origin = fc.tuple(text(), text(), text(), text());
  const values = fc.tuple(
    text(),
    nullable(text()),
    text(),
    fc.integer(),
    nullable(fc.nat()),
    text(),
    nullable(text()),
    text(),
    nullable(text()),
  );
  fc.assert(
    fc.property(
      fc.record({ origin, values }),
      fc.double({ min: 0, max: 0.99, noNaN: true }),
      (run, part) => {
        const line = spoolLine(run);
        expect(line.indexOf("\n")).toBe(line.length - 1);
        expect(parseSpoolLine(line)).toEqual(run);
        expect(parseSpoolLine(line.slice(0, Math.floor((line.length - 1) * part)))).toBeNull();
      },
    ),
  );
});

test("anything else is refused", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (line) => {
      expect(parseSpoolLine(line)).toBeNull();
    }),
  );
  expect(parseSpoolLine('[2,"a","b","c","d","id",null,"s",1,null,"{}",null,"[]",null]')).toBeNull();
});
