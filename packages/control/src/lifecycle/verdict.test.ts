import { MillraceError, type Observation } from "@millrace/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  judgeProvision,
  type Revision,
  readSighting,
  type Sighting,
  sameRevision,
} from "./verdict.ts";

const A: Revision = { revision: "ra", snapshotId: "sa" };
const B: Revision = { revision: "rb", snapshotId: "sb" };
const C: Revision = { revision: "rc", snapshotId: "sc" };

const error = new MillraceError({ class: "platform", code: "BROKEN", message: "It broke." });

const revisions = fc.constantFrom(A, B, C);
const observations: fc.Arbitrary<Observation> = fc.record({
  state: fc.constantFrom("running", "progressing", "failed", "absent"),
  url: fc.constantFrom(null, "http://127.0.0.1:1"),
  serving: fc.option(revisions),
  rollout: fc.option(
    fc.record({
      revision: revisions.map(({ revision }) => revision),
      phase: fc.constantFrom("progressing", "complete", "failed"),
      error: fc.constantFrom(null, error),
    }),
  ),
  error: fc.constantFrom(null, error),
  resources: fc.constant([]),
  metadata: fc.constant({}),
});
const sightings: fc.Arbitrary<Sighting> = fc.record({
  observation: observations,
  health: fc.option(
    fc.oneof(
      revisions.map((one) => ({ ready: true as const, ...one })),
      fc.constant({ ready: false as const, reason: "It is silent" }),
    ),
  ),
});

function running(revision: Revision, more: Partial<Observation> = {}): Sighting {
  return {
    observation: {
      state: "running",
      url: "http://127.0.0.1:1",
      serving: revision,
      rollout: null,
      error: null,
      resources: [],
      metadata: {},
      ...more,
    },
    health: { ready: true, ...revision },
  };
}

describe("a sighting", () => {
  test("serves only what platform and service agree on, and only what is expected", () => {
    fc.assert(
      fc.property(
        sightings,
        fc.option(revisions),
        fc.option(revisions),
        (seen, recorded, wanted) => {
          const { event, serving } = readSighting(seen, { recorded, wanted });
          const { observation, health } = seen;
          if (event !== "observed.serving") return;
          expect(observation.state).toBe("running");
          expect(health).toMatchObject({ ready: true, ...serving });
          expect(observation.serving?.revision).toBe(serving?.revision);
          expect([recorded, wanted]).toContainEqual(serving);
        },
      ),
    );
  });

  test("says why, unless all is well", () => {
    fc.assert(
      fc.property(
        sightings,
        fc.option(revisions),
        fc.option(revisions),
        (seen, recorded, wanted) => {
          const { event, reason } = readSighting(seen, { recorded, wanted });
          if (event === "observed.serving") expect(reason).toBeNull();
          else expect(reason).toMatch(/.\.$/);
        },
      ),
    );
  });

  test("is absent only when the platform says so", () => {
    fc.assert(
      fc.property(sightings, (seen) => {
        const { event } = readSighting(seen, { recorded: A, wanted: B });
        expect(event === "observed.absent").toBe(seen.observation.state === "absent");
      }),
    );
  });

  test("of a service that says another revision than the platform is drifted", () => {
    const seen = { ...running(A), health: { ready: true as const, ...B } };
    const { event, reason } = readSighting(seen, { recorded: A, wanted: null });
    expect(event).toBe("observed.drifted");
    expect(reason).toBe(
      "It says that it serves snapshot sb (revision rb); the platform says snapshot sa (revision ra).",
    );
  });

  test("of the old revision is no end while the wanted one is rolled out", () => {
    const rollout = { revision: B.revision, phase: "progressing", error: null } as const;
    const seen = running(A, { rollout });
    expect(readSighting(seen, { recorded: A, wanted: B }).event).toBe("observed.progressing");
    expect(readSighting(seen, { recorded: A, wanted: null }).event).toBe("observed.serving");
  });
});

describe("a provision", () => {
  const verdicts = (seen: Sighting, journalEmpty = false) =>
    judgeProvision(seen, B, A, journalEmpty);

  test("succeeds only when the wanted revision serves by both words", () => {
    fc.assert(
      fc.property(sightings, fc.option(revisions), fc.boolean(), (seen, recorded, empty) => {
        const { step } = judgeProvision(seen, B, recorded, empty);
        if (step !== "succeeded") return;
        expect(seen.health).toMatchObject({ ready: true, ...B });
        expect(sameRevision(seen.observation.serving, B)).toBe(true);
        expect(seen.observation.state).toBe("running");
      }),
    );
  });

  test("never fails while the platform is at work", () => {
    fc.assert(
      fc.property(sightings, fc.option(revisions), fc.boolean(), (seen, recorded, empty) => {
        fc.pre(seen.observation.state === "progressing");
        expect(judgeProvision(seen, B, recorded, empty).step).toBe("wait");
      }),
    );
  });

  test("does not fail because of what was before it", () => {
    const failed = { state: "failed", serving: null, error } as const;
    const rollout = { revision: A.revision, phase: "failed", error } as const;
    expect(verdicts(running(A, { ...failed, rollout })).step).toBe("wait");
    expect(verdicts(running(A, { rollout })).step).toBe("wait");
  });

  test("fails when its own roll-out did, also while the old revision serves", () => {
    const rollout = { revision: B.revision, phase: "failed", error } as const;
    expect(verdicts(running(A, { rollout }))).toEqual({ step: "failed", error });
  });

  test("fails when the platform gave up and speaks of no roll-out", () => {
    const seen = running(A, { state: "failed", serving: null, error });
    expect(verdicts(seen)).toEqual({ step: "failed", error });
  });

  test("waits for what was intended and is not shown, and fails when nothing was", () => {
    const seen = { ...running(A, { state: "absent", url: null, serving: null }), health: null };
    expect(verdicts(seen, false).step).toBe("wait");
    expect(verdicts(seen, true)).toMatchObject({ step: "failed", error: { code: "NOTHING_MADE" } });
  });

  test("is not done before its roll-out is", () => {
    const rollout = { revision: B.revision, phase: "progressing", error: null } as const;
    expect(verdicts(running(B, { rollout })).step).toBe("wait");
    expect(verdicts(running(B)).step).toBe("succeeded");
  });
});
