import fc from "fast-check";
import { expect, test } from "vitest";
import { defaultRunName, isDefaultRunName, partsOfDefaultRunName } from "./run-name.ts";

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
