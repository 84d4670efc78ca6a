import {
  type Plan,
  SERVICE_CONFIG_VARIABLE,
  Secret,
  type SecretDigests,
  secretDigests,
} from "@millrace/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DOOR_PROTOCOL } from "./door-contract.ts";
import { type Names, namesOf } from "./names.ts";
import { planOf } from "./plan.ts";
import { newTarget, requestOf, STORED } from "./request.fixture.ts";
import { type Request, specOf } from "./service-container.ts";
import { after, door, OTHER, RESTART, service, sights, WANTED } from "./sight.fixture.ts";
import type { Sight } from "./sight.ts";
import { nextStep } from "./step.ts";

const deployment = newTarget();
const request = requestOf({ deployment, revision: WANTED, environment: STORED });
const spec = specOf(request);
// What the containers of a sight are called.
const names: Names = {
  ...namesOf(deployment),
  ...{ spool: "spool", door: "door", nextDoor: "next door", service: "service", next: "next" },
};

const NOTHING: Sight = {
  ...{ network: null, spool: null },
  ...{ door: null, nextDoor: null, service: null, next: null },
};

interface Walk {
  readonly end: Sight;
  readonly steps: readonly string[];
}

/** What provision does with it. */
function provision(start: Sight): Walk {
  const steps: string[] = [];
  for (let sight = start; ; ) {
    const step = nextStep(sight, request);
    if (step.do === "nothing") return { end: sight, steps };
    steps.push(step.do);
    if (steps.length > 20) expect.unreachable(steps.join(", "));
    sight = after(sight, step, { spec });
  }
}

const plan = (sight: Sight, asked: Request = request, secrets: SecretDigests | null = null): Plan =>
  planOf(names, sight, asked, secrets);

function actionOn(made: Plan, name: string): string | undefined {
  return made.changes.find((change) => change.name === name)?.action;
}

const serving: Sight = {
  network: { id: "network" },
  spool: { name: "spool" },
  door: door(WANTED),
  nextDoor: null,
  service: service("service", WANTED, { restart: RESTART, spec }),
  next: null,
};

describe("a plan", () => {
  it("is a no-op after it was carried out, whatever there was before", () => {
    fc.assert(
      fc.property(sights(), (start) => {
        const again = plan(provision(start).end);
        expect(again).toMatchObject({ action: "no-op", interrupts: false });
        expect(again.changes.every(({ action }) => action === "no-op")).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  it("is a no-op just when there is nothing to do", () => {
    fc.assert(
      fc.property(sights(), (start) => {
        expect(plan(start).action === "no-op").toBe(provision(start).steps.length === 0);
      }),
      { numRuns: 1000 },
    );
  });

  it("creates what is not there, and nothing else", () => {
    fc.assert(
      fc.property(sights(), (start) => {
        const made = plan(start);
        expect(actionOn(made, names.network) === "create").toBe(start.network === null);
        expect(actionOn(made, names.spool) === "create").toBe(start.spool === null);
        expect(actionOn(made, names.door) === "create").toBe(start.door === null);
        expect(actionOn(made, names.service) === "create").toBe(start.service === null);
        expect(made.changes.every(({ name }) => Object.values(names).includes(name))).toBe(true);
        expect(new Set(made.changes.map(({ name }) => name)).size).toBe(made.changes.length);
      }),
    );
  });

  it("of a first deploy creates network, door, container, and a volume for runs where there is a store", () => {
    const { network, spool, door: doorName, service: serviceName } = names;
    const made = plan(NOTHING);
    expect(made).toMatchObject({ action: "create", interrupts: false });
    expect(made.changes.every(({ action }) => action === "create")).toBe(true);
    expect(made.changes.map(({ name }) => name)).toEqual([network, spool, doorName, serviceName]);
    const without = plan(NOTHING, requestOf({ deployment, revision: WANTED }));
    expect(without.changes.map(({ name }) => name)).toEqual([network, doorName, serviceName]);
  });

  it("updates what exists, also where a part of it is made anew", () => {
    expect(plan({ ...serving, door: null }).action).toBe("update");
    expect(plan({ ...serving, service: null }).action).toBe("update");
    const nextDoor = door(WANTED, { name: "next door" });
    const leftover = plan({ ...serving, nextDoor, next: service("next", WANTED) });
    expect(leftover.action).toBe("update");
    expect(leftover.changes.map(({ name, action }) => `${action} ${name}`)).toEqual([
      `no-op ${names.network}`,
      "no-op spool",
      "no-op door",
      "delete next door",
      "no-op service",
      "delete next",
    ]);
  });

  it("interrupts just when the door has to move", () => {
    const moved = (settings: object) => plan(serving, requestOf({ deployment, settings }));
    expect(moved({ port: 9000 }).interrupts).toBe(false);
    expect(moved({ port: 9001 })).toMatchObject({
      action: "replace",
      interrupts: true,
      changes: expect.arrayContaining([
        {
          name: names.door,
          kind: "container",
          action: "replace",
          fields: [{ field: "port", before: 9000, after: 9001 }],
        },
      ]),
    });
    expect(moved({ bind: "0.0.0.0" }).interrupts).toBe(true);
  });

  it("replaces a door that speaks another protocol, and says that this interrupts", () => {
    const old = { ...serving, door: door(WANTED, { protocol: 0 }) };
    expect(plan(old)).toMatchObject({
      action: "replace",
      interrupts: true,
      changes: expect.arrayContaining([
        {
          name: names.door,
          kind: "container",
          action: "replace",
          fields: [{ field: "protocol", before: 0, after: DOOR_PROTOCOL }],
        },
      ]),
    });
  });

  it("names the fields that differ, by their path, before and after", () => {
    const asked = requestOf({
      deployment,
      revision: OTHER,
      settings: { memory: "1g", pids: 99 },
      environment: { CITY: "Lisbon" },
    });
    const made = plan(serving, asked);
    expect(made.action).toBe("update");
    expect(made.changes.find(({ name }) => name === names.service)?.fields).toEqual([
      { field: "revision", before: WANTED, after: OTHER },
      { field: "environment.CITY", after: "Lisbon" },
      { field: "service.authKeyHash" },
      { field: "settings.memory", after: "1g" },
      { field: "settings.pids", before: 1024, after: 99 },
    ]);
  });

  it("says that the restart policy alone is changed in place", () => {
    const asked = requestOf({ deployment, revision: WANTED, settings: { restart: "no" } });
    expect(plan(serving, asked).changes.at(-1)).toMatchObject({
      action: "update",
      fields: [{ field: "restart", before: RESTART, after: "no" }],
    });
  });

  it("tells that the key differs and never what its hash is", () => {
    const environment = {
      [SERVICE_CONFIG_VARIABLE]: JSON.stringify({ serving: {}, authKeyHash: "f00d" }),
    };
    const made = plan(serving, requestOf({ deployment, revision: OTHER, environment }));
    expect(JSON.stringify(made)).toContain('{"field":"service.authKeyHash"}');
    expect(JSON.stringify(made)).not.toContain("f00d");
  });

  it("names secrets that are new, gone or changed, and never a value", () => {
    const known = secretDigests({
      KEPT: new Secret("same"),
      CHANGED: new Secret("before-hunter22"),
      GONE: new Secret("gone-hunter22"),
    });
    const secrets = {
      KEPT: new Secret("same"),
      CHANGED: new Secret("after-hunter22"),
      NEW: new Secret("new-hunter22"),
    };
    const made = plan(serving, requestOf({ deployment, revision: OTHER, secrets }), known);
    const fields = made.changes.find(({ name }) => name === names.service)?.fields ?? [];
    expect(fields.filter(({ field }) => field.startsWith("secrets."))).toEqual([
      { field: "secrets.CHANGED" },
      { field: "secrets.GONE" },
      { field: "secrets.NEW" },
    ]);
    expect(JSON.stringify(made)).not.toContain("hunter22");
  });
});
