import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { isMillraceError } from "../errors.ts";
import { definePipeline } from "./pipeline.ts";
import { defineStep } from "./step.ts";

const weather = z.object({
  city: z.string(),
  celsius: z.number(),
  days: z.array(z.object({ rain: z.boolean() })),
  note: z.string().optional(),
});

const look = defineStep({
  name: "look",
  input: z.object({ city: z.string(), days: z.int().default(1) }),
  output: weather,
  run: ({ city }) => ({ city, celsius: 1, days: [] }),
});

const tell = defineStep({
  name: "tell",
  input: z.object({
    weather: z.object({ celsius: z.number(), city: z.string() }),
    loud: z.boolean(),
  }),
  output: z.string(),
  run: () => "",
});

const loose = defineStep({
  name: "loose",
  input: z.looseObject({
    when: z.coerce.date().optional(),
    count: z.coerce.number().optional(),
    either: z.union([z.string(), z.number()]).optional(),
    made: z.preprocess(String, z.string()).optional(),
    text: z.string().nullable().optional(),
    bag: z.record(z.string(), z.number()).optional(),
    pair: z.tuple([z.string(), z.number()]).optional(),
  }),
  output: z.any(),
  run: () => null,
});

/** The input's references, without their types. */
type Wired = Readonly<Record<string, unknown>>;

/** Compiles a wiring that the types would refuse, as code without types may hold it. */
function compile(build: (input: Wired) => unknown): void {
  definePipeline({
    name: "p",
    input: z.object({ city: z.string().default("Rome"), count: z.number().default(1) }),
    build: (input) => build(input as never) as Record<string, never>,
  }).compile();
}

function faultOf(build: (input: Wired) => unknown): string {
  try {
    compile(build);
  } catch (error) {
    if (isMillraceError(error) && error.code === "PIPELINE_WIRING") return error.message;
    throw error;
  }
  return "none";
}

const use = (step: unknown, input: unknown) => (step as (input: unknown) => unknown)(input);

/** A field that the types may not know. */
const at = (reference: unknown, ...path: readonly string[]): unknown =>
  path.reduce((value, part) => Reflect.get(Object(value), part), reference);

describe("a wiring that no run could use", () => {
  it.each<[string, (input: Wired) => unknown, string]>([
    [
      "an input that is missing",
      () => ({ r: use(look, {}) }),
      'Step "look": input.city is required, and nothing is wired to it.',
    ],
    [
      "an input that is not there",
      ({ city }) => ({ r: use(look, { city, dayz: 2 }) }),
      'Step "look": input has no field "dayz". Did you mean "days"?',
    ],
    [
      "a parameter that is not there",
      ({ town }) => ({ r: use(look, { city: town }) }),
      'Step "look": input.city reads input.town, and input has no field "town".',
    ],
    [
      "an output's field that is not there",
      ({ city }) => ({ r: at(use(look, { city }), "celcius") }),
      'Output "r" reads look.celcius, and look has no field "celcius". Did you mean "celsius"?',
    ],
    [
      "a field of what has none",
      ({ city }) => ({ r: at(use(look, { city }), "city", "x") }),
      'Output "r" reads look.city.x, and look.city has no field "x": it is a string.',
    ],
    [
      "a value of another type",
      ({ count }) => ({ r: use(look, { city: count }) }),
      'Step "look": input.city takes a string, and input.count is a number.',
    ],
    [
      "a literal of another type",
      () => ({ r: use(look, { city: "Rome", days: "two" }) }),
      'Step "look": input.days takes a number, and the value is a string.',
    ],
    [
      "an object that lacks a field",
      (input) => ({ r: use(tell, { weather: input, loud: true }) }),
      'Step "tell": input.weather.celsius is required, and input has no field "celsius".',
    ],
    [
      "an item's field",
      ({ city }) => ({ r: at(use(look, { city }), "days", "0", "snow") }),
      'Output "r" reads look.days.0.snow, and look.days.0 has no field "snow".',
    ],
    [
      "a part of a literal",
      () => ({ r: use(tell, { weather: { celsius: "1", city: "Rome" }, loud: true }) }),
      'Step "tell": input.weather.celsius takes a number, and the value is a string.',
    ],
    [
      "an item of a literal",
      () => ({ r: use(loose, { pair: ["a", "b"] }) }),
      'Step "loose": input.pair[1] takes a number, and the value is a string.',
    ],
    [
      "an array in place of a text",
      ({ city }) => ({ r: use(look, { city: [city] }) }),
      'Step "look": input.city takes a string, and the value is an array.',
    ],
  ])("is refused: %s", (_name, build, message) => {
    expect(faultOf(build)).toBe(message);
  });
});

describe("a wiring whose schemas say too little", () => {
  it.each<[string, (input: Wired) => unknown]>([
    ["defaults and optional inputs", ({ city }) => ({ r: use(look, { city }) })],
    [
      "a whole object that has more",
      ({ city }) => ({ r: use(tell, { weather: use(look, { city }), loud: true }) }),
    ],
    ["what is converted", ({ city }) => ({ r: use(loose, { when: city, count: city, made: 1 }) })],
    ["unions and null", ({ count }) => ({ r: use(loose, { either: count, text: null }) })],
    ["an open object", ({ city }) => ({ r: use(loose, { other: city }) })],
    ["a record", ({ count }) => ({ r: use(loose, { bag: { any: count } }) })],
    ["fields of anything", () => ({ r: at(use(loose, {}), "a", "b", "0") })],
    ["an optional output", ({ city }) => ({ r: at(use(look, { city }), "note") })],
  ])("is left to the run: %s", (_name, build) => {
    expect(faultOf(build)).toBe("none");
  });

  it("of any literal that the step takes", () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 7 }), (city, days) => {
        expect(faultOf(() => ({ r: use(look, { city, days }) }))).toBe("none");
      }),
    );
  });
});

it("follows schemas that refer to themselves", () => {
  interface Tree {
    readonly name: string;
    readonly children: readonly Tree[];
  }
  const tree: z.ZodType<Tree> = z.object({
    name: z.string(),
    get children() {
      return z.array(tree);
    },
  });
  const grow = defineStep({
    name: "grow",
    input: z.object({ tree: tree.optional() }),
    output: tree,
    run: () => ({ name: "", children: [] }),
  });
  const below = (depth: number, last: string) => () => {
    let reference = use(grow, {});
    for (let level = 0; level < depth; level++) reference = at(reference, "children", "0");
    return { a: use(grow, { tree: reference }), r: at(reference, last) };
  };
  expect(faultOf(below(30, "name"))).toBe("none");
  expect(faultOf(below(3, "nome"))).toContain('has no field "nome". Did you mean "name"?');
});
