import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { resourceName, validName } from "./resource-name.ts";

describe("resourceName", () => {
  const name = fc.oneof(
    fc.string({ maxLength: 300 }),
    fc.string({ unit: "grapheme", maxLength: 300 }),
  );

  it("obeys the platform's rule for any name", () => {
    fc.assert(
      fc.property(fc.uuid(), name, fc.integer({ min: 22, max: 255 }), (id, text, maxLength) => {
        const made = resourceName({ id, name: text }, { maxLength });
        expect(made.length).toBeLessThanOrEqual(maxLength);
        expect(made).toMatch(/^[a-z][a-z0-9-]*[a-f0-9]$/);
        expect(made).not.toContain("--");
      }),
    );
  });

  it("differs for two deployments although their names fold to the same text", () => {
    fc.assert(
      fc.property(fc.uuid(), fc.uuid(), name, (a, b, text) => {
        fc.pre(a !== b);
        expect(resourceName({ id: a, name: text }, { maxLength: 40 })).not.toBe(
          resourceName({ id: b, name: text.toUpperCase() }, { maxLength: 40 }),
        );
      }),
    );
  });

  it("keeps as much of the readable name as fits", () => {
    expect(resourceName({ id: "1", name: "Weather Service" }, { maxLength: 63 })).toMatch(
      /^millrace-weather-service-[0-9a-f]{12}$/,
    );
    expect(resourceName({ id: "1", name: "été" }, { maxLength: 63, prefix: "p" })).toMatch(
      /^p-e-te-[0-9a-f]{12}$/,
    );
  });

  it("refuses a prefix that leaves no room", () => {
    expect(() =>
      resourceName({ id: "1", name: "x" }, { maxLength: 16, prefix: "long-prefix" }),
    ).toThrow(/leaves no room/);
  });
});

describe("validName", () => {
  it("accepts what it suggests, and never suggests what it refuses", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 400 }), (text) => {
        try {
          expect(validName("deployment", text)).toBe(text);
        } catch (error) {
          const suggested = /for example (.*)\.$/.exec((error as { action: string }).action)?.[1];
          if (suggested !== undefined) expect(validName("deployment", suggested)).toBe(suggested);
        }
      }),
    );
  });

  it.each(["my service", "a/b", "ünïcode", "-a", "a-", "", "x".repeat(300), "a\u0000b", ".."])(
    "refuses %j",
    (text) => {
      expect(() => validName("deployment", text)).toThrow(
        expect.objectContaining({ code: "NAME_INVALID" }),
      );
    },
  );
});
