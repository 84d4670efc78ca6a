import { describe, expect, expectTypeOf, it } from "vitest";
import { z } from "zod";
import type { MillraceError } from "../errors.ts";
import type { StepContext } from "./context.ts";
import { definePipeline, isPipeline, type OutputsOf, type ParametersOf } from "./pipeline.ts";
import type { Reference } from "./reference.ts";
import { defineStep } from "./step.ts";

interface Client {
  read(city: string): Promise<number>;
}

const fetchWeather = defineStep({
  name: "fetch_weather",
  input: z.object({ city: z.string() }),
  output: z.object({ celsius: z.number(), hours: z.tuple([z.object({ at: z.string() })]) }),
  run: async ({ city }, context: StepContext<{ client: Client }>) => ({
    celsius: await context.state.client.read(city),
    hours: [{ at: "noon" }],
  }),
});

const advise = defineStep({
  name: "advise",
  input: z.object({ celsius: z.number(), note: z.string().optional() }),
  output: z.string(),
  run: ({ celsius }) => (celsius < 10 ? "coat" : "shirt"),
});

const client: Client = { read: async () => 4 };

const weather = definePipeline({
  name: "weather",
  input: z.object({ city: z.string().default("Paris") }),
  onInit: async () => ({ client }),
  build: ({ city }) => {
    const report = fetchWeather({ city });
    const advice = advise({ celsius: report.celsius });
    return { report, advice, first: report.hours[0] };
  },
});

function errorOf(run: () => unknown): MillraceError {
  try {
    run();
  } catch (error) {
    return error as MillraceError;
  }
  throw new Error("nothing was thrown");
}

const parameterless = z.object({});

function circle(): object {
  const list: unknown[] = [];
  const value = { list };
  list.push(value);
  return value;
}

describe("definePipeline", () => {
  it("compiles build into a graph in topological order with wires by path", () => {
    const { graph } = weather.compile();
    expect(graph.steps.map(({ id, after }) => [id, after])).toEqual([
      ["fetch_weather", []],
      ["advise", ["fetch_weather"]],
    ]);
    expect(graph.steps[1]?.input).toEqual({
      from: "object",
      fields: { celsius: { from: "step", step: "fetch_weather", path: ["celsius"] } },
    });
    expect(graph.outputs["first"]).toEqual({
      from: "step",
      step: "fetch_weather",
      path: ["hours", 0],
    });
  });

  it("describes input and outputs as JSON Schema", () => {
    const { inputSchema, outputSchema } = weather.compile();
    expect(inputSchema).toEqual({
      type: "object",
      properties: { city: { type: "string", default: "Paris" } },
      additionalProperties: false,
    });
    expect(outputSchema).toMatchObject({
      required: ["report", "advice", "first"],
      properties: {
        advice: { type: "string" },
        report: { type: "object" },
        first: { properties: { at: { type: "string" } } },
      },
    });
  });

  it("requires only outputs that every run has", () => {
    const look = defineStep({
      name: "look",
      input: z.object({}),
      output: z.object({
        sure: z.string(),
        note: z.string().optional(),
        place: z.object({ city: z.string() }).nullable(),
        pair: z.tuple([z.string(), z.string().optional()]),
        any: z.unknown(),
      }),
      run: () => ({ sure: "x", place: null, pair: ["x"], any: undefined }),
    });
    const maybe = defineStep({
      name: "maybe",
      input: z.object({}),
      output: z.object({ sure: z.string() }).optional(),
      run: () => undefined,
    });
    const { outputSchema } = definePipeline({
      name: "p",
      input: z.object({ days: z.int().optional(), city: z.string().default("Paris") }),
      build: ({ city, days }) => {
        const { sure, note, place, pair, any } = look({});
        const none = maybe({});
        return {
          ...{ sure, note, place, inPlace: place.city, first: pair[0], second: pair[1], any },
          ...{ none, inNone: none.sure, days, city },
        };
      },
    }).compile();
    expect(outputSchema["required"]).toEqual(["sure", "place", "first", "city"]);
  });

  it("carries the types of parameters and outputs to the caller", () => {
    expectTypeOf<ParametersOf<typeof weather>>().toEqualTypeOf<{ city?: string | undefined }>();
    expectTypeOf<OutputsOf<typeof weather>["advice"]>().toEqualTypeOf<string>();
    expectTypeOf<OutputsOf<typeof weather>["report"]["celsius"]>().toEqualTypeOf<number>();
  });

  it("keeps literals, nested objects and arrays in a step's input apart from references", () => {
    const gather = defineStep({
      name: "gather",
      input: z.object({ all: z.array(z.object({ celsius: z.number() })), tag: z.string() }),
      output: z.number(),
      run: ({ all }) => all.length,
    });
    const { graph } = definePipeline({
      name: "nested",
      input: z.object({ a: z.number() }),
      build: ({ a }) => ({ out: gather({ all: [{ celsius: a }, { celsius: 2 }], tag: "x" }) }),
    }).compile();
    expect(graph.steps[0]?.input).toEqual({
      from: "object",
      fields: {
        all: {
          from: "array",
          items: [
            { from: "object", fields: { celsius: { from: "input", path: ["a"] } } },
            { from: "value", value: { celsius: 2 } },
          ],
        },
        tag: { from: "value", value: "x" },
      },
    });
  });

  it("numbers further uses of a step, takes an own id, and orders by `after`", () => {
    const { graph } = definePipeline({
      name: "twice",
      input: parameterless,
      build: () => {
        const first = advise({ celsius: 1 });
        const second = advise({ celsius: 2 }, { after: [first] });
        return { first, second, third: advise({ celsius: 3 }, { id: "mine" }) };
      },
    }).compile();
    expect(graph.steps.map(({ id, after }) => [id, after])).toEqual([
      ["advise", []],
      ["advise_2", ["advise"]],
      ["mine", []],
    ]);
  });

  it("knows the module that defined it", () => {
    expect(weather.module).toMatch(/pipeline\.test\.ts$/);
    expect(isPipeline(weather)).toBe(true);
    expect(isPipeline({})).toBe(false);
  });
});

describe("options of a pipeline", () => {
  const options = { name: "p", input: z.object({}), build: () => ({}) };

  it.each([
    [
      { serving: { generateAuthKey: true } },
      'Pipeline "p" has no option "serving": it belongs into `settings`.',
    ],
    [{ onInt: () => null }, 'Pipeline "p" has no option "onInt". Did you mean "onInit"?'],
    [
      { settings: { servng: {} } },
      'settings of pipeline "p" has no option "servng". Did you mean "serving"?',
    ],
  ])("are refused when unknown: %j", (wrong, message) => {
    const given: typeof options = { ...options, ...wrong };
    expect(errorOf(() => definePipeline(given)).message).toBe(message);
  });
});

describe("a schema that refers to itself", () => {
  const node = z.object({
    value: z.number(),
    get children() {
      return z.array(node);
    },
  });
  const grow = defineStep({
    name: "grow",
    input: z.object({}),
    output: z.object({ tree: node }),
    run: () => ({ tree: { value: 1, children: [] } }),
  });

  it("keeps its references inside the description of all outputs", () => {
    const { outputSchema } = definePipeline({
      name: "trees",
      input: z.object({}),
      build: () => {
        const { tree } = grow({});
        return { tree, again: tree };
      },
    }).compile();
    const schema = z.fromJSONSchema({ ...outputSchema });
    const whole = { value: 1, children: [{ value: 2, children: [] }] };
    const broken = { value: 1, children: [{ value: "2", children: [] }] };
    expect(schema.safeParse({ tree: whole, again: whole }).success).toBe(true);
    expect(schema.safeParse({ tree: broken, again: whole }).success).toBe(false);
    expect(schema.safeParse({ tree: whole, again: broken }).success).toBe(false);
  });
});

describe("wrong wiring is a type error", () => {
  it("for a result that breaks the output schema, while literals fit enums and tuples", () => {
    const output = z.object({
      level: z.enum(["low", "high"]),
      at: z.tuple([z.number()]),
      when: z.date(),
      tags: z.array(z.string()),
    });
    const input = z.object({ n: z.number() });
    defineStep({
      name: "a",
      input,
      output,
      run: ({ n }) => ({ level: "high", at: [n], when: new Date(0), tags: ["x"] }),
    });
    defineStep({
      name: "b",
      input,
      output,
      run: async ({ n }, context: StepContext<{ tags: string[] }>) =>
        n > 1
          ? { level: "low", at: [n], when: new Date(0), tags: context.state.tags }
          : { level: "high", at: [2], when: new Date(1), tags: [] },
    });
    const schemas = { name: "c", input, output };
    const right = { at: [1], when: new Date(0), tags: [] } as const;
    // @ts-expect-error no such level
    defineStep({ ...schemas, run: () => ({ ...right, level: "mid" }) });
    // @ts-expect-error `level` is missing
    defineStep({ ...schemas, run: () => right });
  });

  it("for a value of another type, an unknown field, a missing field, a field too many", () => {
    definePipeline({
      name: "wrong",
      input: z.object({ city: z.string() }),
      onInit: () => ({ client }),
      build: ({ city }) => {
        // @ts-expect-error a string is no number
        const wrongType = advise({ celsius: city });
        const report = fetchWeather({ city });
        // @ts-expect-error there is no such field
        const unknownField = report.celsiu;
        // @ts-expect-error city is missing
        const missing = fetchWeather({});
        // @ts-expect-error the step has no such parameter
        const tooMany = advise({ celsius: 1, extra: city });
        return { wrongType, report, unknownField, missing, tooMany };
      },
    });
  });

  it("for a pipeline whose onInit does not provide the state that a step needs, directly or upstream", () => {
    const build = ({ city }: Reference<{ city: string }>) => ({
      advice: advise({ celsius: fetchWeather({ city }).celsius }),
    });
    const input = z.object({ city: z.string() });
    // @ts-expect-error no state at all
    definePipeline({ name: "stateless", input, build });
    // @ts-expect-error a state of another type
    definePipeline({ name: "other", input, onInit: () => ({ client: 4 }), build });
    definePipeline({ name: "right", input, onInit: () => ({ client, more: true }), build });
  });
});

describe("wrong wiring at run time", () => {
  it.each([
    ["reading a value", (city: unknown) => `${city}`, /input\.city was read|value of input\.city/],
    [
      "spreading a reference",
      (city: unknown) => ({ ...(city as object) }),
      /input\.city was spread/,
    ],
    ["a function as input", () => () => 1, /input\.celsius is a function/],
    ["a class instance as input", () => new Date(0), /input\.celsius is an instance of Date/],
    ["an infinite number", () => Number.POSITIVE_INFINITY, /input\.celsius is the number Infinity/],
  ])("%s names the place", (_case, make, message) => {
    const pipeline = definePipeline({
      name: "wrong",
      input: z.object({ city: z.string() }),
      build: ({ city }) => ({ out: advise({ celsius: make(city) as never }) }),
    });
    const error = errorOf(() => pipeline.compile());
    expect(error.code).toBe("PIPELINE_WIRING");
    expect(error.message).toMatch(message);
    expect(error.action).toBeDefined();
  });

  it("refuses an async build, a missing output object, and a reference of another pipeline", () => {
    const asynchronous = definePipeline({
      name: "a",
      input: parameterless,
      build: (async () => ({})) as never,
    });
    expect(errorOf(() => asynchronous.compile()).message).toMatch(/is async/);
    const nothing = definePipeline({
      name: "a",
      input: parameterless,
      build: (() => undefined) as never,
    });
    expect(errorOf(() => nothing.compile()).message).toMatch(
      /must return an object of named outputs/,
    );
    let stolen: unknown;
    definePipeline({
      name: "a",
      input: parameterless,
      build: () => {
        const out = advise({ celsius: 1 });
        stolen = out;
        return { out };
      },
    }).compile();
    const thief = definePipeline({
      name: "b",
      input: parameterless,
      build: () => ({ out: stolen as never }),
    });
    expect(errorOf(() => thief.compile()).message).toMatch(/belongs to another pipeline/);
  });

  it("refuses a step outside of build, and a build that failed leaves no trace", () => {
    const broken = definePipeline({
      name: "a",
      input: parameterless,
      build: (): never => {
        throw new Error("mine");
      },
    });
    expect(() => broken.compile()).toThrow("mine");
    expect(errorOf(() => advise({ celsius: 1 })).code).toBe("STEP_OUTSIDE_BUILD");
  });

  it("refuses outputs that JSON cannot carry, and says which", () => {
    const dated = defineStep({
      name: "dated",
      input: parameterless,
      output: z.date(),
      run: () => new Date(0),
    });
    const pipeline = definePipeline({
      name: "a",
      input: parameterless,
      build: () => ({ when: dated({}) }),
    });
    const error = errorOf(() => pipeline.compile());
    expect(error.code).toBe("SCHEMA_NOT_JSON");
    expect(error.message).toContain("when");
    expect(error.action).toContain("z.iso.datetime()");
  });

  it.each<[string, () => unknown, RegExp]>([
    ["an output called __proto__", () => ({ ["__proto__"]: 1 }), /pipeline "a".*"__proto__"/],
    ["a field called __proto__", () => ({ out: JSON.parse('{"__proto__":1}') }), /^output "out"/],
    ["a literal that contains itself", () => ({ out: circle() }), /^output "out"\.list\[0\]/],
  ])("refuses %s", (_what, build, message) => {
    const pipeline = definePipeline({ name: "a", input: parameterless, build: build as never });
    const error = errorOf(() => pipeline.compile());
    expect(error.code).toBe("PIPELINE_WIRING");
    expect(error.message).toMatch(message);
  });

  it("takes a literal that is used twice", () => {
    const [note, out] = [{ a: 1 }, (value: unknown) => value as never];
    const build = () => ({ both: out([note, note]) });
    const { graph } = definePipeline({ name: "a", input: parameterless, build }).compile();
    expect(graph.outputs["both"]).toEqual({ from: "value", value: [note, note] });
  });

  it("refuses no options", () => {
    expect(errorOf(() => definePipeline(undefined as never)).code).toBe("PIPELINE_INVALID");
    expect(errorOf(() => defineStep(undefined as never)).code).toBe("STEP_INVALID");
  });

  it.each(["", "1a", "a b", "ü", "a/b", "x".repeat(65)])("refuses the pipeline name %j", (name) => {
    expect(
      errorOf(() => definePipeline({ name, input: parameterless, build: () => ({}) })).code,
    ).toBe("PIPELINE_INVALID");
  });
});

describe("defineStep", () => {
  it.each([
    [{ name: "a b" }],
    [{ retries: -1 }],
    [{ retries: 1.5 }],
    [{ retries: { delayMs: 100, maxDelayMs: 10 } }],
    [{ timeout: 0 }],
    [{ timeout: Number.NaN }],
    [{ cache: { ttlSeconds: -1 } }],
    [{ timeoutSecond: 1 }],
  ])("refuses %j", (option) => {
    const make = () =>
      defineStep({
        name: "ok",
        input: parameterless,
        output: z.string(),
        run: () => "",
        ...option,
      });
    expect(errorOf(make).code).toBe("STEP_INVALID");
  });

  it.each([
    ["retrys", ' Did you mean "retries"?'],
    ["retry", ' Did you mean "retries"?'],
    ["timeoutSeconds", ' Did you mean "timeout"?'],
    ["in", ""],
    ["when", ""],
  ])("names an unknown option and the one that was meant: %s", (option, meant) => {
    const options = {
      name: "ok",
      input: parameterless,
      output: z.string(),
      run: () => "",
      [option]: 3,
    };
    expect(errorOf(() => defineStep(options)).message).toBe(
      `Step "ok" has no option "${option}".${meant}`,
    );
  });

  it("fills in the policies", () => {
    const step = defineStep({
      name: "ok",
      input: parameterless,
      output: z.string(),
      run: () => "",
      retries: 2,
      cache: true,
    });
    expect(step.definition).toMatchObject({
      retries: { limit: 2, delayMs: 100, factor: 2, maxDelayMs: 10_000 },
      cache: { ttlSeconds: 3600 },
      timeoutSeconds: null,
    });
  });
});
