import { describe, expect, it } from "vitest";
import { z } from "zod";
import { openObjects, undescribed } from "./settings-schema.ts";

const described = { description: "It says something." };
const open = z.object({ name: z.string() });

const tree = z.strictObject({
  name: z.string(),
  get parts() {
    return z.array(tree).optional().meta(described);
  },
});
const openTree = z.object({
  get parts() {
    return z.array(openTree).optional().meta(described);
  },
});

describe("what the settings let through and leave undescribed", () => {
  it.each<[string, z.ZodType, string]>([
    ["an object", open, "settings.it"],
    ["a list", z.array(open), "settings.it[]"],
    ["a tuple", z.tuple([z.string(), open]), "settings.it[]"],
    ["a map", z.record(z.string(), open), "settings.it.*"],
    ["alternatives", z.union([z.string(), open]), "settings.it"],
    [
      "alternatives told apart by a member",
      z.discriminatedUnion("name", [z.object({ name: z.literal("one") })]),
      "settings.it",
    ],
    ["something that may be null", open.nullable(), "settings.it"],
    ["a schema that has an id", open.meta({ id: "ConformanceOpen" }), "settings.it"],
    ["all of them at once", z.array(z.union([z.record(z.string(), open)])), "settings.it[].*"],
  ])("are found in %s", (_where, it, path) => {
    const settings = z.strictObject({ it: it.meta(described) });
    expect(openObjects(settings)).toEqual([path]);
    expect(undescribed(settings)).toEqual([`${path}.name`]);
  });

  it("are found in a schema that contains itself", () => {
    expect(openObjects(z.strictObject({ it: openTree }))).toEqual(["settings.it"]);
    expect(undescribed(z.strictObject({ it: tree }))).toEqual(["settings.it", "settings.it.name"]);
    expect(undescribed(tree)).toEqual(["settings.name"]);
  });

  it("are none where each object is strict and each member described", () => {
    const strict = z.strictObject({ name: z.string().meta(described) });
    const settings = z.strictObject({
      list: z.array(strict).meta(described),
      labels: z.record(z.string(), z.json()).meta(described),
      named: z.string().meta({ id: "ConformanceNamed", ...described }),
    });
    expect(openObjects(settings)).toEqual([]);
    expect(undescribed(settings)).toEqual([]);
  });
});
