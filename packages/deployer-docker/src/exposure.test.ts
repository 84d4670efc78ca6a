import { servingSettingsSchema } from "@millrace/core";
import { describe, expect, it } from "vitest";
import { exposureFaults, mustBeReachable } from "./exposure.ts";
import { settingsSchema } from "./settings.ts";

function faults(bind: string, serving: object, authKeyHash: string | null): string[] {
  return exposureFaults({
    settings: settingsSchema.parse({ bind }),
    serving: servingSettingsSchema.parse(serving),
    environment: { MILLRACE_CONFIG: JSON.stringify({ authKeyHash }) },
  });
}

describe("a service without a key", () => {
  it.each(["127.0.0.1", "127.8.0.1", "::1"])("may be published on loopback: %s", (bind) => {
    expect(faults(bind, {}, null)).toEqual([]);
  });

  it.each(["0.0.0.0", "10.0.0.1", "::"])("is refused beyond it: %s", (bind) => {
    expect(faults(bind, {}, null)).toEqual([expect.stringContaining(`bind ${bind}`)]);
    expect(faults(bind, { allowUnauthenticated: true }, null)).toEqual([]);
    expect(faults(bind, {}, "0".repeat(64))).toEqual([]);
  });
});

describe("a port on loopback", () => {
  it.each([null, "localhost", "127.0.0.1", "::1"])("is reached on an engine here: %s", (host) => {
    expect(() => mustBeReachable(host, { bind: "127.0.0.1" })).not.toThrow();
  });

  it.each(["engine.lan", "10.0.0.1"])("is refused on another machine: %s", (host) => {
    expect(() => mustBeReachable(host, { bind: "127.0.0.1" })).toThrow(
      expect.objectContaining({ code: "BIND_UNREACHABLE", class: "usage" }),
    );
    expect(() => mustBeReachable(host, { bind: "0.0.0.0" })).not.toThrow();
  });
});
