import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { STORED } from "./request.fixture.ts";
import { after, door, OTHER, RESTART, service, sights, WANTED } from "./sight.fixture.ts";
import { type Door, type Sight, servingOf } from "./sight.ts";
import { nextStep, type Wanted } from "./step.ts";

const SETTINGS = { bind: "127.0.0.1", port: undefined, restart: RESTART } as const;
const REQUEST: Wanted = { revision: WANTED, settings: SETTINGS, environment: STORED };

describe("the steps to a revision", () => {
  it("end with one container that serves it, whatever exists", () => {
    fc.assert(
      fc.property(sights(), (start) => {
        let sight = start;
        for (let count = 0; count < 20; count++) {
          const step = nextStep(sight, REQUEST);
          if (step.do === "nothing") {
            expect(sight.spool).not.toBeNull();
            expect(sight.door?.state?.candidate).toBeNull();
            expect(sight.nextDoor).toBeNull();
            expect(sight.next).toBeNull();
            expect(servingOf(sight)).toBe(sight.service);
            expect(sight.service?.revision).toBe(WANTED);
            expect(sight.service?.restart).toBe(SETTINGS.restart);
            return;
          }
          sight = after(sight, step);
        }
        expect.unreachable(`no end: ${nextStep(sight, REQUEST).do}`);
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
          sight = after(sight, nextStep(sight, REQUEST));
        }
        expect(nextStep(sight, REQUEST)).toEqual({ do: "nothing" });
      }),
      { numRuns: 1000 },
    );
  });

  it("change nothing when the revision serves", () => {
    const sight: Sight = {
      network: { id: "network" },
      spool: { name: "spool" },
      door: door(WANTED),
      nextDoor: null,
      service: service("service", WANTED, { restart: SETTINGS.restart }),
      next: null,
    };
    expect(nextStep(sight, REQUEST)).toEqual({ do: "nothing" });
  });

  it("keep up what serves before the one that served before it may take its time", () => {
    const next = service("next", WANTED);
    const sight: Sight = {
      network: { id: "network" },
      spool: { name: "spool" },
      door: door(WANTED),
      nextDoor: null,
      service: service("service", OTHER, { restart: SETTINGS.restart }),
      next,
    };
    expect(nextStep(sight, REQUEST)).toEqual({ do: "keep up", service: next });
  });

  describe("to another door", () => {
    const others = { network: { id: "network" }, spool: null, service: null, next: null };
    const old = door(WANTED);
    const young = door(WANTED, { name: "next door", endpoint: { bind: "127.0.0.1", port: 9001 } });
    const moved = { ...SETTINGS, port: 9001 };
    const step = (doors: Pick<Sight, "door" | "nextDoor">, settings: Partial<typeof moved> = {}) =>
      nextStep(
        { ...others, ...doors },
        { ...REQUEST, environment: {}, settings: { ...SETTINGS, ...settings } },
      );

    it("are taken only for another address, or where it speaks another protocol", () => {
      const replaces = (settings: object, there = old) =>
        step({ door: there, nextDoor: null }, settings);
      expect(replaces({ port: 9000 }).do).toBe("create");
      const place = { door: old, network: "network" };
      expect(replaces({ port: 9001 })).toEqual({
        ...{ do: "replace door", endpoint: { bind: "127.0.0.1", port: 9001 }, ...place },
      });
      expect(replaces({ bind: "0.0.0.0" })).toEqual({
        ...{ do: "replace door", endpoint: { bind: "0.0.0.0", port: 9000 }, ...place },
      });
      expect(replaces({}, door(null, { protocol: 0 })).do).toBe("replace door");
    });

    it("remove the old one only once the new one is open where it is wanted", () => {
      const removed = (nextDoor: Door, settings: object = moved) => {
        const taken = step({ door: old, nextDoor }, settings);
        return taken.do === "remove door" ? taken.door : taken.do;
      };
      expect(removed(young)).toBe(old);
      const broken = [{ status: "created" }, { status: "restarting" }];
      for (const parts of [...broken, { joined: false }, { state: null }]) {
        const unusable = { ...young, ...parts };
        expect(removed(unusable)).toBe(unusable);
      }
      expect(removed(young, { port: 9002 })).toBe(young);
      // Somebody has changed his mind.
      expect(removed(young, SETTINGS)).toBe(young);
    });

    it("give the new one its name when the old one is gone, also where another one is wanted", () => {
      expect(step({ door: null, nextDoor: young }, moved)).toEqual({
        ...{ do: "rename door", door: young },
      });
      expect(step({ door: null, nextDoor: young })).toMatchObject({ do: "rename door" });
      const lost = { ...young, status: "created" };
      expect(step({ door: null, nextDoor: lost })).toEqual({ do: "remove door", door: lost });
    });
  });
});
