import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  phaseOf,
  type Rollout,
  type ServiceRecord,
  servingRollout,
  viewService,
} from "./records.ts";
import { Versions } from "./versions.ts";

const spec = (revision: string) => ({
  revision,
  snapshotId: `snapshot-${revision}`,
  pipeline: "conformance_v1",
  environment: {},
  size: "small",
  replicas: 1,
  secrets: null,
  image: null,
});

function service(rollouts: readonly Rollout[]): ServiceRecord {
  return { id: "svc-1", name: "one", tags: {}, rollouts, held: null, goneAt: null };
}

const rollouts = fc
  .array(fc.record({ length: fc.integer({ min: 1, max: 50 }), succeeds: fc.boolean() }), {
    minLength: 1,
    maxLength: 6,
  })
  .map((parts) =>
    parts.map(({ length, succeeds }, index): Rollout => {
      const startedAt = index * 10;
      return {
        spec: spec(String(index)),
        pipeline: "conformance_v1",
        startedAt,
        endsAt: startedAt + length,
        succeeds,
        strategy: "rolling",
      };
    }),
  );

describe("a service of the fake platform", () => {
  it("serves the newest revision that came up, and goes on serving it whatever fails later", () => {
    fc.assert(
      fc.property(rollouts, fc.integer({ min: 0, max: 120 }), (all, now) => {
        const serving = servingRollout(service(all), now);
        const complete = all.filter((rollout) => phaseOf(rollout, now) === "complete");
        expect(serving).toBe(complete.at(-1) ?? null);
      }),
    );
  });

  it("serves nothing while it is recreated, stopped or removed", () => {
    const old: Rollout = {
      spec: spec("1"),
      pipeline: "conformance_v1",
      startedAt: 0,
      endsAt: 1,
      succeeds: true,
      strategy: "rolling",
    };
    const next: Rollout = {
      spec: spec("2"),
      pipeline: "conformance_v1",
      startedAt: 5,
      endsAt: 9,
      succeeds: true,
      strategy: "recreate",
    };
    expect(servingRollout(service([old, next]), 6)).toBeNull();
    expect(servingRollout({ ...service([old]), held: "stopped" }, 6)).toBeNull();
    expect(
      viewService({ ...service([old]), goneAt: 20 }, { url: "http://x", turnedAway: 0 }, 6),
    ).toMatchObject({
      state: "deleting",
      serving: null,
    });
  });
});

describe("versions", () => {
  it("are read as they were at a moment", () => {
    const versions = new Versions<{ readonly name: string; readonly goneAt: number | null }>();
    const one = { name: "one", goneAt: null };
    versions.write("one", one, 10);
    versions.write("one", { ...one, goneAt: 30 }, 20);
    expect(versions.read("one", 9)).toBeNull();
    expect(versions.read("one", 15)).toBe(one);
    expect(versions.read("one", 29)).toMatchObject({ goneAt: 30 });
    expect(versions.read("one", 30)).toBeNull();
    expect(versions.all(30)).toEqual([]);
  });
});
