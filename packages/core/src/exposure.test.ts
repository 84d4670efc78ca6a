import { describe, expect, it } from "vitest";
import { exposureFaults, isLoopback } from "./exposure.ts";
import { servingSettingsSchema } from "./serving-settings.ts";

const LOOPBACK = [
  "127.0.0.1",
  "127.8.0.1",
  "::1",
  "0:0:0:0:0:0:0:1",
  "::ffff:127.0.0.1",
  "localhost",
];
const BEYOND = [
  "0.0.0.0",
  "10.0.0.1",
  "::",
  "::ffff:10.0.0.1",
  "128.0.0.1",
  "engine.lan",
  "localhost.example",
  "",
];

function faults(address: string, serving: object, authKeyHash: string | null): string[] {
  return exposureFaults("bind", address, {
    serving: servingSettingsSchema.parse(serving),
    environment: { MILLRACE_CONFIG: JSON.stringify({ authKeyHash }) },
  });
}

describe("an address", () => {
  it.each(LOOPBACK)("is on loopback: %s", (address) => {
    expect(isLoopback(address)).toBe(true);
  });

  it.each(BEYOND)("is beyond it: %s", (address) => {
    expect(isLoopback(address)).toBe(false);
  });
});

describe("a service without a key", () => {
  it.each(LOOPBACK)("may serve on loopback: %s", (address) => {
    expect(faults(address, {}, null)).toEqual([]);
  });

  it.each(BEYOND)("is refused beyond it: %s", (address) => {
    expect(faults(address, {}, null)).toEqual([expect.stringContaining(`bind ${address}`)]);
    expect(faults(address, { allowUnauthenticated: true }, null)).toEqual([]);
    expect(faults(address, {}, "0".repeat(64))).toEqual([]);
  });
});
