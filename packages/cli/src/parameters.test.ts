import type { JsonObject, JsonSchema } from "@millrace/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readParameters } from "./parameters.ts";

function read(words: readonly string[], schema: JsonSchema): JsonObject {
  return readParameters({ words, pairs: [], base: {} }, schema);
}

function object(properties: Record<string, JsonSchema>, required: string[] = []): JsonSchema {
  return { type: "object", properties, required, additionalProperties: false };
}

describe("parameters of the command line", () => {
  test("every text arrives as it was written", () => {
    const schema = object({ text: { type: "string" } });
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(read([`--text=${text}`], schema)).toEqual({ text });
        expect(read(["--text", text], schema)).toEqual({ text });
      }),
    );
  });

  test("every number arrives as a number, and no other word does", () => {
    const schema = object({ n: { type: "number" } });
    fc.assert(
      fc.property(
        fc.double({ noNaN: true, noDefaultInfinity: true }).filter((n) => !Object.is(n, -0)),
        (n) => {
          expect(read(["--n", String(n)], schema)).toEqual({ n });
        },
      ),
    );
    for (const word of ["", " ", "1x", "NaN", "Infinity", "true"])
      expect(() => read(["--n", word], schema)).toThrow("n: expected number");
  });

  test("a whole number stays one", () => {
    const schema = object({ n: { type: "integer" } });
    expect(read(["--n", "-3"], schema)).toEqual({ n: -3 });
    expect(() => read(["--n", "1.5"], schema)).toThrow("n: expected integer");
  });

  test("every JSON object arrives whole through a parameter of any type", () => {
    const schema = object({ any: {} });
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        expect(read(["--any", JSON.stringify(value)], schema)).toEqual(
          JSON.parse(JSON.stringify({ any: value })),
        );
      }),
    );
  });

  test("a repeated parameter makes a list, and a JSON list is one as it is", () => {
    const schema = object({ list: { type: "array", items: { type: "integer" } } });
    expect(read(["--list", "1", "--list", "2"], schema)).toEqual({ list: [1, 2] });
    expect(read(["--list", "1"], schema)).toEqual({ list: [1] });
    expect(read(["--list", "[3, 4]"], schema)).toEqual({ list: [3, 4] });
    expect(() => read(["--list", "x"], schema)).toThrow("list: expected integer[]");
  });

  test("booleans are flags, with no- in front they are off", () => {
    const schema = object({
      fast: { type: "boolean" },
      "no-cache": { type: "boolean" },
      next: { type: "string" },
    });
    expect(read(["--fast", "--next", "x"], schema)).toEqual({ fast: true, next: "x" });
    expect(read(["--no-fast"], schema)).toEqual({ fast: false });
    expect(read(["--fast", "false"], schema)).toEqual({ fast: false });
    expect(read(["--no-cache"], schema)).toEqual({ "no-cache": true });
  });

  test("enums, constants and nullable values keep their types", () => {
    const schema = object({
      mode: { enum: ["a", 1, null] },
      maybe: { anyOf: [{ type: "integer" }, { type: "null" }] },
      mixed: { type: ["string", "integer"] },
    });
    expect(read(["--mode", "1", "--maybe", "null", "--mixed", "7"], schema)).toEqual({
      mode: 1,
      maybe: null,
      mixed: 7,
    });
    expect(read(["--mode", "a", "--maybe", "7", "--mixed", "seven"], schema)).toEqual({
      mode: "a",
      maybe: 7,
      mixed: "seven",
    });
    expect(() => read(["--mode", "b"], schema)).toThrow('mode: expected "a" | 1 | null');
  });

  test("references are followed", () => {
    const schema = {
      ...object({ place: { $ref: "#/$defs/Place" } }),
      $defs: { Place: object({ lat: { type: "number" } }, ["lat"]) },
    };
    expect(read(["--place.lat", "-3.5"], schema)).toEqual({ place: { lat: -3.5 } });
    expect(() => read(["--place", "{}"], schema)).toThrow("place.lat: is required (number)");
  });

  test("names of the prototype are names like any other", () => {
    expect(() => read(["--__proto__.x", "1"], object({}))).toThrow(
      "__proto__.x: unknown parameter",
    );
    expect(Object.keys(read(["--__proto__", "1"], {}))).toEqual(["__proto__"]);
  });

  test("a missing value and a stray word are faults", () => {
    const schema = object({ city: { type: "string" } });
    expect(() => read(["--city"], schema)).toThrow("city: has no value");
    expect(() => read(["Lisbon"], schema)).toThrow('"Lisbon" belongs to no parameter');
  });

  test("with a fault of the words, what the schema says of the others is told as well, each once", () => {
    const city = { type: "string", minLength: 3 };
    const days = { type: "integer", maximum: 14 };
    const when = { type: "string", format: "date" };
    const schema = object({ city, days, when, place: object({ lat: days }), no: days });
    const words = ["--city", "L", "--days", "99", "--when", "x", "--place.lat", "a", "--nope", "3"];
    expect(() => read([...words, "--no", "15"], schema)).toThrow(
      'not valid: place.lat: expected integer ..14, got "a"; nope: unknown parameter; known are city, days, when, place, no; ' +
        "city: must have at least 3 characters; days: must be at most 14; when: Invalid ISO date; no: must be at most 14.",
    );
  });

  test("a schema that zod cannot read is left to the service", () => {
    const schema = { ...object({ city: { type: "string" } }), unevaluatedProperties: false };
    expect(() => read(["--nope", "3"], schema)).toThrow(
      "not valid: nope: unknown parameter; known are city.",
    );
  });
});
