import fc from "fast-check";
import { expect, test } from "vitest";
import { uuidV7Floor, uuidV7Source } from "./uuid.ts";

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test("ids have the form of a UUIDv7 and grow, whatever the clock does", () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 2 ** 41 }), { minLength: 2 }), (times) => {
      let i = 0;
      const newId = uuidV7Source(() => times[i++ % times.length] ?? 0);
      const ids = times.map(() => newId());
      for (const id of ids) expect(id).toMatch(UUID_V7);
      expect(ids).toEqual(ids.toSorted());
      expect(new Set(ids).size).toBe(ids.length);
    }),
  );
});

test("more ids than a millisecond has numbers still grow", () => {
  const newId = uuidV7Source(() => 5);
  const ids = Array.from({ length: 10_000 }, newId);
  expect(ids).toEqual(ids.toSorted());
});

test("the floor of a time divides earlier ids from later ones", () => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 41 }), fc.nat({ max: 2 ** 41 }), (made, time) => {
      expect(uuidV7Source(() => made)() >= uuidV7Floor(time)).toBe(made >= time);
    }),
  );
});
