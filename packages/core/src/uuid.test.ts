import fc from "fast-check";
import { expect, test } from "vitest";
import { uuidv7, uuidv7Floor, uuidv7Source } from "./uuid.ts";

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test("ids have the form of a UUIDv7 and grow, whatever the clock does", () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 2 ** 41 }), { minLength: 2 }), (times) => {
      let i = 0;
      const newId = uuidv7Source(() => times[i++ % times.length] ?? 0);
      const ids = times.map(() => newId());
      for (const id of ids) expect(id).toMatch(UUID_V7);
      expect(ids).toEqual(ids.toSorted());
      expect(new Set(ids).size).toBe(ids.length);
    }),
  );
});

test("more ids than a millisecond has numbers still grow", () => {
  const newId = uuidv7Source(() => 5);
  const ids = Array.from({ length: 10_000 }, newId);
  expect(ids).toEqual(ids.toSorted());
  expect(new Set(ids).size).toBe(ids.length);
});

test("ids of this process are of the current time", () => {
  const before = Date.now();
  const ids = Array.from({ length: 1000 }, uuidv7);
  expect(ids).toEqual(ids.toSorted());
  expect(ids.every((id) => UUID_V7.test(id) && id >= uuidv7Floor(before))).toBe(true);
  expect((ids[0] ?? "") < uuidv7Floor(Date.now() + 1)).toBe(true);
});

test("the floor of a time divides earlier ids from later ones", () => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 41 }), fc.nat({ max: 2 ** 41 }), (made, time) => {
      expect(uuidv7Source(() => made)() >= uuidv7Floor(time)).toBe(made >= time);
    }),
  );
});
