import {
  type DeploymentRequest,
  Secret,
  secretDigests,
  servingSettingsSchema,
} from "@millrace/core";
import { describe, expect, test } from "vitest";
import type { Status } from "./control-protocol.ts";
import { observe, observeGone, urlOf } from "./observation.ts";
import { placesOf } from "./places.ts";
import { planStart, planUpdate } from "./plan.ts";
import { type LocalSettings, settingsSchema } from "./settings.ts";
import { specOf } from "./spec.ts";

const places = placesOf("/state", "1");

interface Wanted {
  readonly revision?: string;
  readonly settings?: Partial<LocalSettings>;
  readonly environment?: Record<string, string>;
  readonly secrets?: Record<string, Secret>;
}

function request(wanted: Wanted = {}): DeploymentRequest<LocalSettings> {
  const { revision = "1" } = wanted;
  return {
    deployment: { id: "1", name: "weather", project: "default", inventory: [], metadata: {} },
    revision,
    snapshot: { id: `snapshot-${revision}`, name: null, pipeline: "weather" },
    artefact: { kind: "bundle", directory: `/snapshots/${revision}`, runtime: "/runtime.js" },
    settings: settingsSchema.parse(wanted.settings ?? {}),
    serving: servingSettingsSchema.parse({}),
    environment: wanted.environment ?? {},
    secrets: wanted.secrets ?? {},
  };
}

function status(change: Partial<Status> = {}, served = request()): Status {
  return {
    version: 1,
    deploymentId: "1",
    pid: 100,
    startTime: "boot:1",
    host: "127.0.0.1",
    port: 8000,
    wantedPort: null,
    stopping: false,
    current: specOf(served),
    next: null,
    rollout: { revision: served.revision, phase: "complete", error: null },
    ready: 1,
    error: null,
    workers: [
      { replica: "worker-1", pid: 101, startTime: "boot:2", revision: "1", state: "ready" },
    ],
    restarts: 0,
    secrets: secretDigests(served.secrets),
    ...change,
  };
}

const failure = { class: "pipeline", code: "BROKEN", message: "broken", retryable: false } as const;

describe("a plan", () => {
  test("creates where nothing is, and keeps the folder that is left", () => {
    expect(planStart(places, false)).toMatchObject({
      action: "create",
      interrupts: false,
      changes: [
        { kind: "folder", action: "create" },
        { kind: "process", action: "create" },
      ],
    });
    expect(planStart(places, true).changes).toMatchObject([
      { kind: "folder", action: "no-op" },
      { kind: "process", action: "create" },
    ]);
  });

  test("does nothing where the revision serves or is on its way", () => {
    for (const there of [status(), status({ current: null, next: specOf(request()), ready: 0 })]) {
      const plan = planUpdate(places, there, request());
      expect(plan.action).toBe("no-op");
      expect(plan.changes.map(({ action }) => action)).toEqual(["no-op", "no-op"]);
    }
  });

  test("names each field that differs, and no value of a secret", () => {
    const config = (maxQueue: number, revision: string) =>
      JSON.stringify({
        revision,
        snapshot: {},
        serving: { maxQueue, maxConcurrency: 5 },
        authKeyHash: `hash of key ${maxQueue}`,
      });
    const served = request({
      environment: { A: "1", B: "1", MILLRACE_CONFIG: config(1, "1") },
      secrets: { TOKEN: new Secret("a"), SAME: new Secret("b") },
    });
    const wanted = request({
      revision: "2",
      settings: { workers: 2 },
      environment: { A: "2", C: "1", MILLRACE_CONFIG: config(2, "2") },
      secrets: { TOKEN: new Secret("c"), SAME: new Secret("b") },
    });
    const plan = planUpdate(places, status({}, served), wanted);
    expect(plan).toMatchObject({ action: "update", interrupts: false });
    expect(plan.changes[1]?.fields).toEqual([
      { field: "environment.A", before: "1", after: "2" },
      { field: "environment.B", before: "1" },
      { field: "environment.C", after: "1" },
      { field: "revision", before: "1", after: "2" },
      { field: "service.authKeyHash" },
      { field: "service.serving.maxQueue", before: 1, after: 2 },
      { field: "settings.workers", before: 1, after: 2 },
      { field: "snapshot", before: "snapshot-1", after: "snapshot-2" },
      { field: "secrets.TOKEN" },
    ]);
  });

  test("starts again what does not serve", () => {
    const failed = status({ ready: 0, error: failure });
    expect(planUpdate(places, failed, request())).toMatchObject({
      action: "update",
      changes: [{}, { fields: [{ field: "workers", before: "failed", after: "running" }] }],
    });
    const neverStarted = status({ current: null, ready: 0, error: failure });
    expect(planUpdate(places, neverStarted, request()).action).toBe("update");
  });

  test.each([
    ["another host", { host: "127.0.0.2" }, {}, "replace"],
    ["another port", { port: 9000 }, {}, "replace"],
    ["the same port", { port: 8000 }, {}, "update"],
    ["a port that was in use", { port: 9000, portFallback: true }, { wantedPort: 9000 }, "update"],
    ["a port that was in use", { port: 9000 }, { wantedPort: 9000 }, "replace"],
    ["another range", { portRange: [9000, 9001] }, {}, "update"],
  ] as const)("for %s (%j, %j) is to %s", (_name, settings, there, action) => {
    const { portRange, ...others } = { portRange: undefined, ...settings };
    const range: Partial<LocalSettings> =
      portRange === undefined ? {} : { portRange: [portRange[0], portRange[1]] };
    const wanted = request({ revision: "2", settings: { ...others, ...range } });
    const plan = planUpdate(places, status(there), wanted);
    expect(plan).toMatchObject({ action, interrupts: action === "replace" });
  });
});

describe("an observation", () => {
  test.each([
    ["a ready worker", {}, "running"],
    ["an old worker while a new one starts", { next: specOf(request()) }, "running"],
    ["no worker yet", { current: null, ready: 0, next: specOf(request()) }, "progressing"],
    ["a worker being restarted", { ready: 0 }, "progressing"],
    ["no revision yet", { current: null, ready: 0, rollout: null }, "progressing"],
    ["the end at hand", { stopping: true }, "progressing"],
    ["restarts that fail", { ready: 0, error: failure }, "failed"],
    ["a failed start", { ready: 0, current: null, error: failure }, "failed"],
  ] satisfies [string, Partial<Status>, string][])("of %s", (_name, change, state) => {
    const seen = observe(places, status(change));
    expect(seen.state).toBe(state);
    expect(seen.serving === null).toBe(state !== "running");
    expect(seen.error === null).toBe(state !== "failed");
    expect(seen.resources).toHaveLength(2);
  });

  test("of a supervisor that is gone keeps URL and folder", () => {
    const { secrets: _secrets, ...state } = status();
    const remains = { hasFolder: true, state, supervisor: null };
    expect(observeGone(places, remains)).toMatchObject({
      state: "failed",
      url: "http://127.0.0.1:8000",
      resources: [{ kind: "folder" }],
      metadata: { port: 8000 },
      error: { message: `Its supervisor (process ${state.pid}) is gone.` },
    });
    expect(observeGone(places, { ...remains, state: null })).toMatchObject({
      state: "failed",
      url: null,
    });
  });

  test.each([
    ["127.0.0.1", "http://127.0.0.1:80"],
    ["0.0.0.0", "http://127.0.0.1:80"],
    ["::", "http://[::1]:80"],
    ["2001:db8::1", "http://[2001:db8::1]:80"],
  ])("gives for host %s the URL %s", (host, url) => {
    expect(urlOf(host, 80)).toBe(url);
  });
});
