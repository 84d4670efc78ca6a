import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { isJsonOnly, jsonLoss } from "./json-output.ts";

const circle: unknown[] = [];
circle.push({ circle });

describe("jsonLoss", () => {
  it.each<[unknown, (string | number)[], string]>([
    [{ a: [1, 2n] }, ["a", 1], "is a bigint"],
    [{ a: { b: () => 1 } }, ["a", "b"], "is a function"],
    [Symbol("s"), [], "is a symbol"],
    [{ good: { x: 1 }, bad: 2n }, ["bad"], "is a bigint"],
    [{ list: [[1], [2, 3n]] }, ["list", 1, 1], "is a bigint"],
    [{ a: Number.NaN }, ["a"], "is NaN"],
    [[Number.NEGATIVE_INFINITY], [0], "is -Infinity"],
    [{ at: new Map([[1, 2]]) }, ["at"], "is of type Map"],
    [new Set(), [], "is of type Set"],
    [{ e: new Error("x") }, ["e"], "is of type Error"],
    [[Promise.resolve()], [0], "is of type Promise"],
    [{ bytes: new Uint8Array(2) }, ["bytes"], "is of type Uint8Array"],
    [[undefined], [0], "is undefined"],
    [circle, [0, "circle"], "contains itself"],
    [
      {
        get now() {
          throw new Error("not now");
        },
      },
      ["now"],
      "throws: not now",
    ],
    [
      {
        a: {
          toJSON() {
            throw new Error("no text");
          },
        },
      },
      ["a"],
      "throws: no text",
    ],
  ])("finds the place and says what is there: %#", (value, path, message) => {
    expect(jsonLoss(value)).toEqual({ path, message });
  });

  it("lets pass what JSON carries: the same object twice, missing members, what knows its own JSON, instances", () => {
    class Row {
      id = 1;
    }
    const shared = { x: 1 };
    expect(
      jsonLoss({ a: shared, b: [shared], none: undefined, at: new Date(0), row: new Row() }),
    ).toBeUndefined();
    expect(jsonLoss(undefined)).toBeUndefined();
  });

  it("finds nothing in any JSON value", () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => jsonLoss(value) === undefined));
  });

  it("finds something in every value that does not come back from JSON as it was", () => {
    const leaves = [
      fc.string(),
      fc.boolean(),
      fc.double().map((number) => number + 0),
      fc.constantFrom(null, undefined, Symbol("s"), () => 1, new Map([[1, 2]]), /x/, new Set([1])),
      fc.bigInt(),
    ];
    fc.assert(
      fc.property(fc.anything({ values: leaves, withMap: true }), (value) => {
        if (value === undefined || jsonLoss(value) !== undefined) return;
        expect(JSON.parse(JSON.stringify(value))).toEqual(value);
      }),
      { numRuns: 1000 },
    );
  });
});

describe("isJsonOnly", () => {
  const of = (schema: z.ZodType) => isJsonOnly(z.toJSONSchema(schema, { io: "output" }));
  const object = z.object({ a: z.string(), b: z.number().optional() });

  it.each<[string, z.ZodType]>([
    ["an object", object],
    ["an array of objects", z.array(object)],
    ["a tuple", z.tuple([z.string()], z.int())],
    ["a union", z.union([object, z.null(), z.literal(["a", 1])])],
    ["an intersection", z.intersection(z.object({ a: z.string() }), z.object({ b: z.boolean() }))],
    ["a record", z.record(z.string(), z.enum(["a", "b"]))],
    ["something nullable", z.iso.datetime().nullable()],
  ])("holds for %s", (_what, schema) => expect(of(schema)).toBe(true));

  it.each<[string, z.ZodType]>([
    ["anything", z.any()],
    ["a member that may be anything", z.object({ a: z.string(), b: z.unknown() })],
    ["items that may be anything", z.array(z.any())],
    ["the rest of a tuple", z.tuple([z.string()], z.any())],
    ["a loose object", z.looseObject({})],
    ["a record of anything", z.record(z.string(), z.any())],
    ["one option", z.union([z.string(), z.object({ a: z.any() })])],
    ["a file", z.file()],
  ])("does not hold for %s", (_what, schema) => expect(of(schema)).toBe(false));
});
