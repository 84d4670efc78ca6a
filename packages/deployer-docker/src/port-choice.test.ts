import fc from "fast-check";
import { expect, it } from "vitest";
import { portsToTry } from "./port-choice.ts";

const settings = {
  bind: "127.0.0.1",
  port: undefined,
  portRange: [9000, 9999] as [number, number],
};
const remembered = { bind: "127.0.0.1", port: 8123 };

it("the configured port is the only one, and the one before comes before those of the range", () => {
  expect(portsToTry("id", { ...settings, port: 80 }, remembered)).toEqual([80]);
  const range = portsToTry("id", settings, null);
  expect(portsToTry("id", settings, remembered)).toEqual([8123, ...range]);
  const [first = 0, ...others] = range;
  expect(portsToTry("id", settings, { ...remembered, port: first })).toEqual([first, ...others]);
});

it("the port before counts only at the address before", () => {
  expect(portsToTry("id", settings, { ...remembered, bind: "0.0.0.0" })).not.toContain(8123);
});

it("ports of the range are tried, each once, in an order that follows from the id", () => {
  const range = fc.tuple(fc.integer({ min: 1, max: 65_535 }), fc.integer({ min: 0, max: 300 }));
  fc.assert(
    fc.property(fc.string(), range, (id, [from, more]) => {
      const portRange: [number, number] = [from, Math.min(65_535, from + more)];
      const ports = portsToTry(id, { ...settings, portRange }, null);
      expect(ports).toEqual(portsToTry(id, { ...settings, portRange }, null));
      expect(new Set(ports).size).toBe(Math.min(50, portRange[1] - from + 1));
      expect(ports.every((port) => port >= from && port <= portRange[1])).toBe(true);
    }),
  );
});
