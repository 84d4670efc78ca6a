import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { expect, it } from "vitest";
import { Admission } from "./admission.ts";

it("never lets more in than there are places, nor more wait than may, and serves in order of arrival", async () => {
  const commands = fc.array(fc.constantFrom("enter", "leave", "giveUp"), { maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 3 }),
      fc.nat(3),
      commands,
      async (places, queue, steps) => {
        const admission = new Admission({
          maxConcurrency: places,
          maxQueue: queue,
          queueTimeoutSeconds: 60,
        });
        let inside = 0;
        let next = 0;
        const waiting: { readonly name: number; readonly giveUp: () => void }[] = [];
        for (const step of steps) {
          if (step === "leave" && inside > 0) {
            inside--;
            admission.leave();
            await turn();
          } else if (step === "giveUp") {
            waiting.shift()?.giveUp();
          } else if (step === "enter" && admission.tryEnter()) {
            inside++;
          } else if (step === "enter") {
            const name = next++;
            const full = waiting.length === queue;
            const giveUp = admission.wait(
              60_000,
              () => {
                expect(waiting.shift()?.name).toBe(name);
                inside++;
              },
              (why) => expect({ why, full }).toEqual({ why: "full", full: true }),
            );
            if (!full) waiting.push({ name, giveUp });
          }
          expect(admission.active).toBe(inside);
          expect(admission.waiting).toBe(waiting.length);
          expect(inside).toBeLessThanOrEqual(places);
        }
        for (const { giveUp } of waiting) giveUp();
      },
    ),
  );
});
