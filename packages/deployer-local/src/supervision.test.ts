import fc from "fast-check";
import { expect, test } from "vitest";
import { restartDelay } from "./supervision.ts";

test("the pause before a restart grows with each failure, up to its limit", () => {
  expect([0, 1, 2, 3].map((failures) => restartDelay(failures, 30))).toEqual([50, 100, 200, 400]);
  fc.assert(
    fc.property(fc.nat(), fc.double({ min: 0.1, max: 3600, noNaN: true }), (failures, max) => {
      const delay = restartDelay(failures, max);
      expect(delay).toBeGreaterThan(0);
      expect(delay).toBeLessThanOrEqual(max * 1000);
      expect(restartDelay(failures + 1, max)).toBeGreaterThanOrEqual(delay);
    }),
  );
});
