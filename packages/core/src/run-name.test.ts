import fc from "fast-check";
import { expect, test } from "vitest";
import {
  defaultRunName,
  isDefaultRunName,
  partsOfDefaultRunName,
  validRunName,
} from "./run-name.ts";

test.each(["a", "-x", "läuft heute", "🌊".repeat(200)])("a run may be called %j", (name) => {
  expect(validRunName(name)).toBe(name);
});

test.each(["", "a\nb", "\u009f", "\ud800", "x".repeat(201)])("no run is called %j", (name) => {
  expect(() => validRunName(name)).toThrow(
    expect.objectContaining({ class: "usage", code: "NAME_INVALID" }),
  );
});

test("a run's default name is known as such and comes apart again", () => {
  fc.assert(
    fc.property(fc.string(), fc.uuid(), (pipelineName, id) => {
      const name = defaultRunName(pipelineName, id);
      expect(isDefaultRunName(name, pipelineName, id)).toBe(true);
      expect(partsOfDefaultRunName(name)).toEqual({ pipelineName, idEnd: id.slice(24) });
    }),
  );
});

test("another name of the same length is none", () => {
  const id = "0190a6e2-7b3c-7d4e-8f5a-6b7c8d9e0f1a";
  expect(isDefaultRunName("weather-6b7c8d9e0f1b", "weather", id)).toBe(false);
  expect(partsOfDefaultRunName("nightly-import")).toBeNull();
});
