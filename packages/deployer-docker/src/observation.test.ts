import { MillraceError } from "@millrace/core";
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { engineThatAnswers } from "./engine-server.fixture.ts";
import { failureOf } from "./failure.ts";
import { namesOf } from "./names.ts";
import { observe, rememberedEndpoint } from "./observation.ts";
import { newTarget } from "./request.fixture.ts";
import { awaiting, door, OTHER, service, sights, WANTED } from "./sight.fixture.ts";
import type { Door, Sight } from "./sight.ts";

const target = newTarget();
const names = namesOf(target);
const NETWORK = { id: "network" };

/** A log of one line, as the engine frames it. */
function logOf(line: string): Buffer {
  const payload = Buffer.from(`2026-01-01T00:00:00.000000001Z ${line}\n`);
  const header = Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(payload.length, 4);
  return Buffer.concat([header, payload]);
}

async function see(sight: Sight, engineHost: string | null = null) {
  const last = (_asked: unknown, answer: { end(body: Buffer): void }) => answer.end(logOf("gone"));
  const { engine } = await engineThatAnswers({
    "GET /containers/service/logs": last,
    "GET /containers/next/logs": last,
  });
  return observe(engine, engineHost, names, target, sight);
}

function withFailure(there: Door, revision: string): Door {
  const error = new MillraceError({ class: "platform", code: "CONTAINER_EXITED", message: "It." });
  return {
    ...there,
    state: there.state && { ...there.state, failure: failureOf(revision, error) },
  };
}

const serving: Sight = {
  network: NETWORK,
  spool: null,
  door: door(WANTED),
  nextDoor: null,
  service: service("service", WANTED),
  next: null,
};

describe("what is seen", () => {
  it("of nothing is absent", async () => {
    const containers = { door: null, nextDoor: null, service: null, next: null };
    expect(await see({ network: null, spool: null, ...containers })).toEqual({
      ...{ state: "absent", url: null, serving: null, rollout: null, error: null },
      ...{ resources: [], metadata: {} },
    });
  });

  it("of a container that the door sends everybody to is that it runs", async () => {
    expect(await see(serving)).toMatchObject({
      state: "running",
      url: "http://127.0.0.1:9000",
      serving: { revision: WANTED, snapshotId: "s" },
      rollout: { revision: WANTED, phase: "complete", error: null },
      error: null,
      metadata: { bind: "127.0.0.1", port: 9000 },
    });
  });

  it("of an update under way is the old one that serves and the new one that does not yet", async () => {
    const awaits: Sight = {
      ...serving,
      door: awaiting(door(WANTED), OTHER),
      next: service("next", OTHER),
    };
    expect(await see(awaits)).toMatchObject({
      state: "running",
      serving: { revision: WANTED },
      rollout: { revision: OTHER, phase: "progressing" },
    });
  });

  test.each(["created", "running"])(
    "of an update whose deployer ended when the container was %s is that it was interrupted",
    async (status) => {
      const sight = { ...serving, next: service("next", OTHER, { status }) };
      expect(await see(sight)).toMatchObject({
        state: "running",
        rollout: { revision: OTHER, phase: "failed", error: { code: "DEPLOY_INTERRUPTED" } },
      });
    },
  );

  it("of an update that failed is why, while the old one serves", async () => {
    const sight = { ...serving, door: withFailure(door(WANTED), OTHER) };
    expect(await see(sight)).toMatchObject({
      state: "running",
      serving: { revision: WANTED },
      rollout: { revision: OTHER, phase: "failed", error: { code: "CONTAINER_EXITED" } },
    });
  });

  test.each([
    ["exited", 0, "failed"],
    ["dead", 0, "failed"],
    ["paused", 0, "failed"],
    ["restarting", 1, "progressing"],
    ["restarting", 9, "failed"],
  ])(
    "of a container that is %s after %i restarts is %s, with its last line",
    async (status, restarts, state) => {
      const seen = await see({
        ...serving,
        service: service("service", WANTED, { status, restarts }),
      });
      expect(seen).toMatchObject({ state, serving: null });
      if (state === "failed") expect(seen.error?.details).toMatchObject({ logs: ["gone"] });
    },
  );

  test.each<[string, Partial<Sight>, string]>([
    ["the door", { door: null }, names.door],
    ["the container", { service: null, door: door(null) }, names.service],
    ["the network", { network: null, door: door(WANTED, { joined: false }) }, names.network],
    ["a door that runs", { door: door(WANTED, { status: "exited" }) }, names.door],
  ])("without %s is what is missing", async (_what, missing, name) => {
    const { error, state } = await see({ ...serving, ...missing });
    expect(state).toBe("failed");
    expect(error).toMatchObject({
      code: "CONTAINER_MISSING",
      message: expect.stringContaining(name),
    });
  });

  it("always has all that there is, and an error just when it failed", async () => {
    await fc.assert(
      fc.asyncProperty(sights(), async (sight) => {
        const seen = await see(sight);
        const there = Object.values(sight).filter((one) => one !== null).length;
        expect(seen.resources).toHaveLength(there);
        expect(seen.state === "absent").toBe(there === 0);
        expect(seen.state === "running").toBe(seen.serving !== null);
        expect(seen.state === "failed").toBe(seen.error !== null);
        expect(seen.rollout?.phase === "failed").toBe((seen.rollout?.error ?? null) !== null);
      }),
      { numRuns: 200 },
    );
  });
});

describe("the URL", () => {
  test.each([
    ["127.0.0.1", null, "http://127.0.0.1:9000"],
    ["0.0.0.0", null, "http://127.0.0.1:9000"],
    ["0.0.0.0", "engine.lan", "http://engine.lan:9000"],
    ["::", "fd00::1", "http://[fd00::1]:9000"],
    ["10.0.0.7", "engine.lan", "http://10.0.0.7:9000"],
    ["::1", null, "http://[::1]:9000"],
  ])("of a door on %s of the engine at %s is %s", async (bind, host, url) => {
    const endpoint = { bind, port: 9000 };
    expect((await see({ ...serving, door: door(WANTED, { endpoint }) }, host)).url).toBe(url);
  });
});

test.each([
  ["runs", {}, 9000],
  ["has ended", { status: "exited" }, 9001],
])(
  "the URL is the old door's when another one takes its place and it %s",
  async (_what, parts, port) => {
    const nextDoor = door(WANTED, {
      name: "next door",
      endpoint: { bind: "127.0.0.1", port: 9001 },
    });
    expect(await see({ ...serving, door: door(WANTED, parts), nextDoor })).toMatchObject({
      state: "running",
      url: `http://127.0.0.1:${port}`,
      metadata: { port },
    });
  },
);

test("where a deployment was published is remembered, unless it is no address", () => {
  const of = (metadata: object) => rememberedEndpoint({ metadata: { ...metadata } });
  expect(of({ bind: "127.0.0.1", port: 9000, more: true })).toEqual({
    bind: "127.0.0.1",
    port: 9000,
  });
  expect(of({})).toBeNull();
  expect(of({ bind: "127.0.0.1", port: "9000" })).toBeNull();
});
