import fc from "fast-check";
import { expect } from "vitest";
import { DOOR_PROTOCOL } from "./door-contract.ts";
import { hostOf } from "./names.ts";
import type { Door, Service, Sight } from "./sight.ts";
import type { Step } from "./step.ts";

export const WANTED = "a".repeat(64);
export const OTHER = "b".repeat(64);
export const RESTART = "always";

let made = 0;

export function service(name: string, revision: string, parts: Partial<Service> = {}): Service {
  return {
    name,
    id: `${name}-${++made}`,
    revision,
    snapshotId: "s",
    spec: {},
    status: "running",
    exitCode: 0,
    outOfMemory: false,
    fault: "",
    restarts: 0,
    memoryBytes: 0,
    startedAt: "2026-01-01T00:00:00Z",
    restart: "no",
    joined: true,
    hasSecrets: false,
    spoolFolder: null,
    ...parts,
  };
}

export function door(target: string | null, parts: Partial<Door> = {}): Door {
  const backend = target === null ? null : { host: hostOf(target), port: 8080 };
  return {
    name: "door",
    id: "door",
    endpoint: { bind: "127.0.0.1", port: 9000 },
    protocol: DOOR_PROTOCOL,
    status: "running",
    joined: true,
    state: { sequence: 1, target: backend, candidate: null, failure: null },
    ...parts,
  };
}

/** A door that waits for a candidate. */
export function awaiting(there: Door, revision: string | null): Door {
  const candidate = revision === null ? null : { host: hostOf(revision), detail: null };
  return { ...there, state: there.state && { ...there.state, candidate } };
}

/**
 * What exists after a step towards the wanted revision, where the engine does as it is told and a container that is waited
 * for gets ready.
 */
export function after(sight: Sight, step: Step, wanted: Partial<Service> = {}): Sight {
  const replace = (old: Service, by: Service | null): Sight => ({
    ...sight,
    service: sight.service === old ? by : sight.service,
    next: sight.next === old ? by : sight.next,
  });
  const { door: there } = sight;
  switch (step.do) {
    case "create network":
      return { ...sight, network: { id: "network" } };
    case "create spool":
      return { ...sight, spool: { name: "spool" } };
    case "create door":
      return { ...sight, door: door(null) };
    case "replace door": {
      const { endpoint, door: old } = step;
      const stopped = endpoint.port === old.endpoint.port ? { status: "exited" } : {};
      const nextDoor = door(null, { name: "next door", endpoint, state: old.state });
      return { ...sight, door: { ...old, ...stopped }, nextDoor };
    }
    case "remove door":
      return step.door === there ? { ...sight, door: null } : { ...sight, nextDoor: null };
    case "rename door":
      expect(there).toBeNull();
      return { ...sight, door: { ...step.door, name: "door" }, nextDoor: null };
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
      return {
        ...sight,
        [step.name]: service(step.name, WANTED, { ...wanted, status: "created" }),
      };
    case "start":
      return replace(step.service, { ...step.service, status: "running" });
    case "await": {
      const moved = there && { ...there, state: door(step.service.revision).state };
      return { ...replace(step.service, { ...step.service, status: "running" }), door: moved };
    }
    case "keep up":
      return replace(step.service, { ...step.service, restart: RESTART });
    case "settle": {
      const settled = { candidate: null, failure: null };
      return {
        ...sight,
        door: there && { ...there, state: there.state && { ...there.state, ...settled } },
      };
    }
    case "nothing":
      return sight;
  }
}

export const anyStatus = fc.constantFrom(
  ...["created", "running", "paused", "restarting", "removing", "exited", "dead"],
);
const anyRevision = fc.constantFrom(WANTED, OTHER, "c".repeat(64));

function services(name: string, joined: fc.Arbitrary<boolean>): fc.Arbitrary<Service | null> {
  return fc.option(
    fc
      .record({
        revision: anyRevision,
        status: anyStatus,
        joined,
        restart: fc.constantFrom("no", RESTART),
      })
      .map(({ revision, ...parts }) => service(name, revision, parts)),
  );
}

function doors(
  joined: fc.Arbitrary<boolean>,
  status: fc.Arbitrary<string>,
): fc.Arbitrary<Pick<Sight, "door" | "nextDoor">> {
  const parts = fc.record({
    status,
    joined,
    protocol: fc.constantFrom(0, DOOR_PROTOCOL),
    endpoint: fc.record({
      bind: fc.constantFrom("127.0.0.1", "0.0.0.0"),
      port: fc.constantFrom(9000, 9001),
    }),
  });
  // Both send everybody to the same container.
  return fc
    .record({
      target: fc.option(anyRevision),
      candidate: fc.option(anyRevision),
      old: fc.option(parts),
      young: fc.option(parts),
    })
    .map(({ target, candidate, old, young }) => ({
      door: old && awaiting(door(target, old), candidate),
      nextDoor: young && door(target, { ...young, name: "next door" }),
    }));
}

/** Whatever may be found of a deployment. */
export function sights(
  joined: fc.Arbitrary<boolean> = fc.boolean(),
  doorStatus: fc.Arbitrary<string> = anyStatus,
): fc.Arbitrary<Sight> {
  return fc
    .record({
      network: fc.option(fc.constant({ id: "network" })),
      spool: fc.option(fc.constant({ name: "spool" })),
      doors: doors(joined, doorStatus),
      service: services("service", joined),
      next: services("next", joined),
    })
    .map(({ doors: both, ...others }) => ({ ...both, ...others }));
}
