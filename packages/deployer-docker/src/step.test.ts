import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hostOf } from "./names.ts";
import { type Door, type Service, type Sight, servingOf } from "./sight.ts";
import { nextStep, type Step } from "./step.ts";

const WANTED = "a".repeat(64);
const OTHER = "b".repeat(64);
const SETTINGS = { bind: "127.0.0.1", port: undefined, restart: "unless-stopped" } as const;
const ENDPOINT = { bind: "127.0.0.1", port: 9000 };

function service(name: string, revision: string, parts: Partial<Service> = {}): Service {
  return {
    name,
    id: `${name}-${Math.random()}`,
    revision,
    snapshotId: "s",
    spec: {},
    status: "running",
    exitCode: 0,
    outOfMemory: false,
    memoryBytes: 0,
    fault: "",
    restarts: 0,
    startedAt: "2026-01-01T00:00:00Z",
    restart: "no",
    joined: true,
    hasSecrets: false,
    ...parts,
  };
}

function door(target: string | null, parts: Partial<Door> = {}): Door {
  const backend = target === null ? null : { host: hostOf(target), port: 8080 };
  return {
    id: "door",
    endpoint: ENDPOINT,
    status: "running",
    joined: true,
    state: { sequence: 1, target: backend, candidate: null, failure: null },
    ...parts,
  };
}

/** What exists after a step, where the engine does as it is told and a container that is waited for gets ready. */
function after(sight: Sight, step: Step): Sight {
  const replace = (old: Service, by: Service | null): Sight => ({
    ...sight,
    service: sight.service === old ? by : sight.service,
    next: sight.next === old ? by : sight.next,
  });
  const { door: there } = sight;
  switch (step.do) {
    case "create network":
      return { ...sight, network: { id: "network" } };
    case "create door":
      return { ...sight, door: door(null) };
    case "remove door":
      return { ...sight, door: null };
    case "resume door":
      expect(there?.status).toBe("paused");
      return { ...sight, door: there && { ...there, status: "running" } };
    case "start door":
      // All others the engine refuses to start.
      expect(["exited", "restarting"]).toContain(there?.status);
      return { ...sight, door: there && { ...there, status: "running" } };
    case "remove":
    case "drain":
      return replace(step.service, null);
    case "rename":
      return { ...sight, service: step.service, next: null };
    case "create":
      return { ...sight, [step.name]: service(step.name, WANTED, { status: "created" }) };
    case "start":
      return replace(step.service, { ...step.service, status: "running" });
    case "await": {
      const moved = there && { ...there, state: door(step.service.revision).state };
      return { ...replace(step.service, { ...step.service, status: "running" }), door: moved };
    }
    case "keep up":
      return replace(step.service, { ...step.service, restart: SETTINGS.restart });
    case "forget failure":
      return {
        ...sight,
        door: there && { ...there, state: there.state && { ...there.state, failure: null } },
      };
    case "nothing":
      return sight;
  }
}

const status = fc.constantFrom(
  ...["created", "running", "paused", "restarting", "removing", "exited", "dead"],
);
const revision = fc.constantFrom(WANTED, OTHER, "c".repeat(64));

function services(name: string, joined: fc.Arbitrary<boolean>): fc.Arbitrary<Service | null> {
  return fc.option(
    fc
      .record({ revision, status, joined, restart: fc.constantFrom("no", "unless-stopped") })
      .map(({ revision: its, ...parts }) => service(name, its, parts)),
  );
}

function sights(joined: fc.Arbitrary<boolean>, doors: fc.Arbitrary<string>): fc.Arbitrary<Sight> {
  return fc.record({
    network: fc.option(fc.constant({ id: "network" })),
    door: fc.option(
      fc
        .record({ target: fc.option(revision), status: doors, joined })
        .map(({ target, ...parts }) => door(target, parts)),
    ),
    service: services("service", joined),
    next: services("next", joined),
  });
}

describe("the steps to a revision", () => {
  it("end with one container that serves it, whatever exists", () => {
    fc.assert(
      fc.property(sights(fc.boolean(), status), (start) => {
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

  it("replace the door only for another address", () => {
    const sight = { network: { id: "network" }, door: door(null), service: null, next: null };
    const step = (settings: Partial<Parameters<typeof nextStep>[2]>) =>
      nextStep(sight, WANTED, { ...SETTINGS, ...settings }).do;
    expect(step({ port: 9000 })).toBe("create");
    expect(step({ port: 9001 })).toBe("remove door");
    expect(step({ bind: "0.0.0.0" })).toBe("remove door");
  });
});
