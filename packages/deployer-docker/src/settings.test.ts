import { describe, expect, it } from "vitest";
import { bytesOf, logConfigOf, settingsSchema } from "./settings.ts";

describe("settings", () => {
  it("have defaults for everything that is needed", () => {
    expect(settingsSchema.parse({})).toMatchObject({
      bind: "127.0.0.1",
      portRange: [9000, 9999],
      restart: "always",
      readOnly: true,
      image: { base: "node:24-slim" },
      logDriver: "json-file",
    });
  });

  it.each([
    { engine: "unix:///var/run/docker.sock" },
    { engine: "ssh://me@engine" },
    { memory: "512m", cpus: 0.5, shmSize: "1g", gpus: "all" },
    { gpus: 2 },
    { ulimits: [{ name: "nofile", soft: 1024, hard: 4096 }] },
    { ulimits: [{ name: "memlock", soft: -1, hard: -1 }] },
    { volumes: ["data:/data", "/srv/models:/models:ro"] },
    { runOptions: { Sysctls: { "net.core.somaxconn": "1024" } } },
    { labels: { team: "a" } },
  ])("are taken: %j", (settings) => {
    expect(() => settingsSchema.parse(settings)).not.toThrow();
  });

  it.each([
    { engine: "/var/run/docker.sock" },
    { bind: "localhost" },
    { port: 0 },
    { portRange: [9001, 9000] },
    { memory: "much" },
    { memory: "0m" },
    { memory: "999999999999999999999g" },
    { ulimits: [{ name: "nofiles", soft: 1, hard: 1 }] },
    { ulimits: [{ name: "nofile", soft: 9, hard: 5 }] },
    { ulimits: [{ name: "nofile", soft: -1, hard: 5 }] },
    { cpus: 0 },
    { cpus: 0.001 },
    { gpus: 0 },
    { volumes: ["data"] },
    { labels: { "dev.millrace.deployment": "mine" } },
    { runOptions: { Memory: 1 } },
    { runOptions: { PortBindings: {} } },
    { runOptions: { binds: ["/:/host"] } },
    { runOptions: { CapAddd: ["NET_ADMIN"] } },
    { unknown: 1 },
    { image: { unknown: 1 } },
  ])("are refused: %j", (settings) => {
    expect(settingsSchema.safeParse(settings).success).toBe(false);
  });
});

it.each([
  ["1", 1],
  ["1b", 1],
  ["2k", 2048],
  ["512m", 536_870_912],
  ["1G", 1_073_741_824],
])("the size %s has %i bytes", (size, bytes) => {
  expect(bytesOf(size)).toBe(bytes);
});

it("log drivers that write files keep them bounded, and others get no options that they do not know", () => {
  const of = (settings: object) => logConfigOf(settingsSchema.parse(settings));
  const bounded = { "max-size": "10m", "max-file": "5" };
  expect(of({})).toEqual({ Type: "json-file", Config: bounded });
  expect(of({ logDriver: "local" })).toEqual({ Type: "local", Config: bounded });
  expect(of({ logDriver: "journald" })).toEqual({ Type: "journald", Config: {} });
  expect(of({ logOptions: { "max-size": "1m" } }).Config).toEqual({ "max-size": "1m" });
});
