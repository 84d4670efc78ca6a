import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { after, door, RESTART, service, sights, WANTED } from "./sight.fixture.ts";
import { type Sight, servingOf } from "./sight.ts";
import { nextStep } from "./step.ts";

const SETTINGS = { bind: "127.0.0.1", port: undefined, restart: RESTART } as const;

describe("the steps to a revision", () => {
  it("end with one container that serves it, whatever exists", () => {
    fc.assert(
      fc.property(sights(), (start) => {
        let sight = start;
        for (let count = 0; count < 20; count++) {
          const step = nextStep(sight, WANTED, SETTINGS);
          if (step.do === "nothing") {
            expect(sight.next).toBeNull();
            expect(servingOf(sight)).toBe(sight.service);
            expect(sight.service?.revision).toBe(WANTED);
            expect(sight.service?.restart).toBe(SETTINGS.restart);
            return;
          }
          sight = after(sight, step);
        }
        expect.unreachable(`no end: ${nextStep(sight, WANTED, SETTINGS).do}`);
      }),
      { numRuns: 1000 },
    );
  });

  it("never leave requests without a container, when one serves", () => {
    const serving = sights(fc.constant(true), fc.constant("running"))
      .map((sight) => ({ ...sight, network: { id: "network" } }))
      .filter((sight) => servingOf(sight) !== null);
    fc.assert(
      fc.property(serving, (start) => {
        let sight: Sight = start;
        for (let count = 0; count < 20; count++) {
          expect(servingOf(sight)).not.toBeNull();
          sight = after(sight, nextStep(sight, WANTED, SETTINGS));
        }
        expect(nextStep(sight, WANTED, SETTINGS)).toEqual({ do: "nothing" });
      }),
      { numRuns: 1000 },
    );
  });

  it("change nothing when the revision serves", () => {
    const sight: Sight = {
      network: { id: "network" },
      door: door(WANTED),
      service: service("service", WANTED, { restart: SETTINGS.restart }),
      next: null,
    };
    expect(nextStep(sight, WANTED, SETTINGS)).toEqual({ do: "nothing" });
  });

  it("replace the door only for another address, or where it speaks another protocol", () => {
    const sight = { network: { id: "network" }, door: door(null), service: null, next: null };
    const step = (settings: Partial<Parameters<typeof nextStep>[2]>) =>
      nextStep(sight, WANTED, { ...SETTINGS, ...settings }).do;
    expect(step({ port: 9000 })).toBe("create");
    expect(step({ port: 9001 })).toBe("remove door");
    expect(step({ bind: "0.0.0.0" })).toBe("remove door");
    const old = { ...sight, door: door(null, { protocol: 0 }) };
    expect(nextStep(old, WANTED, SETTINGS).do).toBe("remove door");
  });
});
