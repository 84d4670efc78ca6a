import { expect, it } from "vitest";
import { isLoopback } from "./scheme.ts";

it.each([
  ["localhost:5000", true],
  ["127.0.0.1:5000", true],
  ["127.200.0.9", true],
  ["[::1]:5000", true],
  ["registry.test", false],
  ["localhost.registry.test", false],
  ["127.0.0.1.registry.test", false],
  ["10.0.0.1:5000", false],
  ["[fe80::1]:5000", false],
])("%s is loopback: %s", (host, loopback) => {
  expect(isLoopback(host)).toBe(loopback);
});
