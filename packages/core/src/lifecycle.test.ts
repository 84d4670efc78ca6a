import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  DEPLOYMENT_STATUSES,
  type DeploymentStatus,
  LIFECYCLE,
  LIFECYCLE_EVENTS,
  type LifecycleEvent,
  lifecycleDiagram,
  transition,
} from "./lifecycle.ts";

/**
 * The same rules said another way: what is known about the deployment instead of a table. A status is derived from
 * whether an operation is open and from what was seen last.
 */
class Model {
  #pending = false;
  #seen: "nothing" | "serving" | "broken" | "unreachable" = "nothing";

  accepts(event: LifecycleEvent): boolean {
    return event !== "operation.timed_out" || this.#pending;
  }

  apply(event: LifecycleEvent): void {
    switch (event) {
      case "operation.started":
      case "observed.progressing":
        this.#pending = true;
        return;
      case "operation.timed_out":
        return;
      case "observed.unhealthy":
        if (this.#pending) return;
        if (this.#seen === "nothing") this.#pending = true;
        else this.#settle("broken");
        return;
      case "observed.serving":
        this.#settle("serving");
        return;
      case "observed.absent":
        this.#settle("nothing");
        return;
      case "observed.unreachable":
        this.#settle("unreachable");
        return;
      case "observed.failed":
      case "observed.drifted":
        this.#settle("broken");
        return;
    }
  }

  #settle(seen: "nothing" | "serving" | "broken" | "unreachable"): void {
    this.#pending = false;
    this.#seen = seen;
  }

  get status(): DeploymentStatus {
    if (this.#pending) return "PENDING";
    return (
      { nothing: "ABSENT", serving: "RUNNING", broken: "ERROR", unreachable: "UNKNOWN" } as const
    )[this.#seen];
  }
}

describe("the lifecycle table", () => {
  it("has an entry for every event and status, and no other", () => {
    expect(Object.keys(LIFECYCLE)).toEqual([...LIFECYCLE_EVENTS]);
    for (const event of LIFECYCLE_EVENTS)
      expect(Object.keys(LIFECYCLE[event])).toEqual([...DEPLOYMENT_STATUSES]);
  });

  it("follows the model for every sequence of events", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...LIFECYCLE_EVENTS), { maxLength: 40 }), (events) => {
        const model = new Model();
        let status: DeploymentStatus = "ABSENT";
        for (const event of events) {
          if (!model.accepts(event)) {
            expect(() => transition(status, event)).toThrow(
              expect.objectContaining({ code: "LIFECYCLE_REFUSED" }),
            );
            continue;
          }
          model.apply(event);
          status = transition(status, event);
          expect(status).toBe(model.status);
        }
      }),
    );
  });

  it("leaves no status without a way to every other", () => {
    for (const from of DEPLOYMENT_STATUSES) {
      const reached = new Set<DeploymentStatus>([from]);
      for (const status of reached) {
        for (const event of LIFECYCLE_EVENTS) {
          const next = LIFECYCLE[event][status];
          if (next !== "refused") reached.add(next);
        }
      }
      expect(reached.size).toBe(DEPLOYMENT_STATUSES.length);
    }
  });

  it("never calls a deployment broken or absent because the platform could not be asked", () => {
    for (const status of DEPLOYMENT_STATUSES)
      expect(transition(status, "observed.unreachable")).toBe("UNKNOWN");
  });

  it("draws every arrow once", () => {
    const arrows = lifecycleDiagram()
      .split("\n")
      .filter((line) => line.includes("-->"));
    expect(new Set(arrows.map((line) => line.split(":")[0])).size).toBe(arrows.length);
  });
});
