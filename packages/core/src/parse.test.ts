import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { configSchema } from "./config.ts";
import type { MillraceError } from "./errors.ts";
import { formatPath, issuesOf, MAX_ISSUES, parse } from "./parse.ts";
import { servingSettingsInputSchema, servingSettingsSchema } from "./serving-settings.ts";

function refused(value: unknown): MillraceError {
  try {
    parse(configSchema, value, { what: "millrace.config.ts", code: "CONFIG_INVALID" });
  } catch (error) {
    return error as MillraceError;
  }
  throw new Error("accepted");
}

describe("parse", () => {
  it("names every fault with its path, and suggests the key that was meant", () => {
    const error = refused({
      plugin: [],
      deployers: { prod: { flavor: 1, serving: { drain_seconds: 5, tracking: { mod: "off" } } } },
    });
    expect(error.code).toBe("CONFIG_INVALID");
    expect(error.issues).toEqual(
      expect.arrayContaining([
        { path: ["plugin"], message: 'unknown key; did you mean "plugins"?' },
        {
          path: ["deployers", "prod", "serving", "drain_seconds"],
          message: 'unknown key; did you mean "drainSeconds"?',
        },
        {
          path: ["deployers", "prod", "serving", "tracking", "mod"],
          message: 'unknown key; did you mean "mode"?',
        },
      ]),
    );
    expect(error.message).toContain("deployers.prod.flavor");
  });

  it("lists the known keys where no suggestion is close", () => {
    expect(refused({ zzzzzzzz: 1 }).message).toMatch(/unknown key; known are project, plugins/);
  });

  it.each([
    [z.number().min(1), 0, "must be at least 1"],
    [z.number().lt(2), 2, "must be less than 2"],
    [z.string().min(3), "", "must have at least 3 characters"],
    [z.string().length(3), "", "must have exactly 3 characters"],
    [z.array(z.int()).max(1), [1, 2], "must have at most 1 item"],
    [z.enum(["a", "b"]), "c", 'must be one of "a", "b"'],
    [z.literal(1), 2, "must be 1"],
    [z.literal(1n), 2, "must be 1"],
    [z.string(), 1, "expected string, received number"],
    [z.string(), undefined, "is missing (string)"],
    [z.number().min(1, "one worker at least"), 0, "one worker at least"],
  ])("says in words what a schema of zod wants (%#)", (schema, value, words) => {
    const { error } = schema.safeParse(value);
    expect(error === undefined ? [] : issuesOf(error)).toEqual([{ path: [], message: words }]);
  });

  it("names some of very many faults, and counts the others", () => {
    const keys = Array.from({ length: MAX_ISSUES + 50 }, (_, i) => `zzzzzz${i}`);
    const { issues } = refused({
      project: 1,
      ...Object.fromEntries(keys.map((key) => [key, 1])),
    });
    expect(issues).toHaveLength(MAX_ISSUES + 1);
    expect(issues.at(-1)).toEqual({ path: [], message: "and 51 more" });
  });

  it("never throws anything but its own error, whatever it is given", () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        try {
          parse(configSchema, value, { what: "x", code: "CONFIG_INVALID" });
        } catch (error) {
          expect((error as MillraceError).code).toBe("CONFIG_INVALID");
        }
      }),
    );
  });

  it("formats paths as code does", () => {
    expect(formatPath(["a", "b", 0, "c"])).toBe("a.b[0].c");
  });
});

describe("serving settings", () => {
  it("stay as written until they are completed, so that layers can be merged", () => {
    const written = { tracking: { mode: "sync" as const } };
    expect(servingSettingsInputSchema.parse(written)).toEqual(written);
    expect(servingSettingsSchema.parse(written).tracking).toMatchObject({
      mode: "sync",
      retentionDays: 30,
    });
  });
});
