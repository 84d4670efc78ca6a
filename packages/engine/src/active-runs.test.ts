import fc from "fast-check";
import { expect, it } from "vitest";
import { ActiveRuns } from "./active-runs.ts";

const fakeRun = () => ({ place: -1 });
type Run = ReturnType<typeof fakeRun>;

it("has the runs that were added and not deleted, in whatever order they end", () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.nat({ max: 20 }))), (script) => {
      const active = new ActiveRuns<Run>();
      const expected = new Set<Run>();
      for (const which of script) {
        const ending = which === null ? undefined : [...expected][which];
        if (ending === undefined) {
          const run = fakeRun();
          active.add(run);
          expected.add(run);
        } else {
          active.delete(ending);
          expected.delete(ending);
        }
        expect(active.size).toBe(expected.size);
        expect(new Set(active)).toEqual(expected);
      }
    }),
  );
});

it("may change while it is looped over: each that was active comes once", () => {
  const active = new ActiveRuns<Run>();
  const runs = [fakeRun(), fakeRun(), fakeRun()];
  for (const run of runs) active.add(run);
  const seen: Run[] = [];
  for (const run of active) {
    seen.push(run);
    active.delete(run);
  }
  expect(seen).toEqual(runs);
  expect(active.size).toBe(0);
});
