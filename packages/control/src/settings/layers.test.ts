import { defineFlavor, type Flavor, type JsonObject, MillraceError } from "@millrace/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { deployerSettings, type Layer, merge, servingSettings } from "./layers.ts";

const settings = z
  .strictObject({
    cpu: z.number().default(1),
    memory: z.number().default(1),
    port: z.int().optional(),
    tags: z.array(z.string()).default([]),
    scaling: z.strictObject({ min: z.int().default(0), max: z.int().default(1) }).prefault({}),
    registryPassword: z.string().optional(),
  })
  .refine(({ cpu, memory }) => memory >= cpu, { error: "needs as much as cpu", path: ["memory"] });

const flavor: Flavor = defineFlavor({
  name: "cloud",
  description: "",
  capabilities: {
    artefact: "bundle",
    logs: { tail: true, since: true, follow: true, replicas: false },
    secrets: true,
    zeroDowntime: true,
    keepsOldOnFailure: true,
    scaleToZero: false,
    trafficSplit: false,
    stableUrl: true,
    tls: false,
  },
  settings: settings as z.ZodType<unknown>,
  create: () => Promise.reject(new Error("not made here")),
});

const deployer = (values: JsonObject): Layer<JsonObject> => ({
  origin: "deployer",
  place: 'deployer "prod"',
  values,
});
const pipeline = (values: JsonObject): Layer<JsonObject> => ({
  origin: "pipeline",
  place: 'pipeline "weather"',
  values,
});
const command = (values: JsonObject): Layer<JsonObject> => ({
  origin: "command line",
  place: "the command line",
  values,
});

function errorOf(run: () => unknown): MillraceError {
  try {
    run();
  } catch (error) {
    if (error instanceof MillraceError) return error;
  }
  return expect.fail("no MillraceError was thrown");
}

describe("precedence", () => {
  it("is default, deployer, pipeline, command line, and tells where each value came from", () => {
    const { value, effective } = deployerSettings(flavor, [
      deployer({ cpu: 2, memory: 2, scaling: { min: 1, max: 2 } }),
      pipeline({ memory: 4, scaling: { max: 3 }, tags: ["a", "b"] }),
      command({ scaling: { max: 4 }, tags: ["c"] }),
    ]);
    expect(value).toEqual({ cpu: 2, memory: 4, scaling: { min: 1, max: 4 }, tags: ["c"] });
    expect(effective).toEqual(
      expect.arrayContaining([
        { name: "deployer.cpu", value: 2, origin: "deployer" },
        { name: "deployer.memory", value: 4, origin: "pipeline" },
        { name: "deployer.scaling.min", value: 1, origin: "deployer" },
        { name: "deployer.scaling.max", value: 4, origin: "command line" },
        { name: "deployer.tags", value: ["c"], origin: "command line" },
      ]),
    );
    expect(effective).toHaveLength(5);
  });

  it("leaves defaults where no layer says anything", () => {
    const { value, effective } = servingSettings([command({ tracking: { mode: "sync" } })]);
    expect(value.tracking).toMatchObject({ mode: "sync", retentionDays: 30 });
    const origins = new Map(effective.map(({ name, origin }) => [name, origin]));
    expect(origins.get("serving.tracking.mode")).toBe("command line");
    expect(origins.get("serving.tracking.retentionDays")).toBe("default");
  });

  it("lets each setting be decided by the last layer that has it, for any layers", () => {
    const leaf = fc.oneof(fc.integer(), fc.string(), fc.boolean(), fc.constant(null));
    const keysOf = <T>(names: readonly string[], values: fc.Arbitrary<T>) =>
      fc.dictionary(fc.constantFrom(...names), values, { noNullPrototype: true });
    const layer = keysOf(["a", "b"], keysOf(["c", "d"], keysOf(["e", "f", "__proto__"], leaf)));
    fc.assert(
      fc.property(fc.array(layer, { maxLength: 5 }), (layers) => {
        const merged = layers.reduce<JsonObject>(merge, {});
        // The same rule said another way: path by path, where a later entry replaces an earlier one.
        expect(flat(merged)).toEqual(new Map(layers.flatMap((one) => [...flat(one)])));
      }),
    );
  });
});

function flat(layer: JsonObject): Map<string, unknown> {
  return new Map(
    Object.entries(layer).flatMap(([name, value]): (readonly [string, unknown])[] =>
      typeof value === "object" && value !== null && !Array.isArray(value)
        ? [...flat(value as JsonObject)].map(([path, leaf]) => [`${name}/${path}`, leaf])
        : [[name, value]],
    ),
  );
}

describe("wrong settings", () => {
  it("name the layer that they came from, and what was likely meant", () => {
    const error = errorOf(() =>
      deployerSettings(flavor, [deployer({ cpuu: 2 }), pipeline({ port: "x" })]),
    );
    expect(error).toMatchObject({ code: "SETTINGS_INVALID", class: "usage" });
    expect(error.message).toContain(
      'cpuu: unknown key; did you mean "cpu"? (from deployer "prod")',
    );
    expect(error.message).toMatch(/port: .* \(from pipeline "weather"\)/);
    expect(error.issues.map(({ path }) => path)).toEqual(
      expect.arrayContaining([["cpuu"], ["port"]]),
    );
  });

  it("are judged together: a rule may be about values of several layers", () => {
    expect(() =>
      deployerSettings(flavor, [deployer({ cpu: 4 }), command({ memory: 8 })]),
    ).not.toThrow();
    const error = errorOf(() =>
      deployerSettings(flavor, [deployer({ memory: 2 }), command({ cpu: 4 })]),
    );
    expect(error.message).toMatch(/memory: needs as much as cpu/);
  });

  it("cannot hide behind the name __proto__", () => {
    const hidden = JSON.parse('{ "__proto__": { "cpu": 3 } }') as JsonObject;
    expect(errorOf(() => deployerSettings(flavor, [command(hidden)])).message).toMatch(
      /__proto__: unknown key/,
    );
  });

  it("are found in nested places and lists of how a deployment serves", () => {
    const error = errorOf(() =>
      servingSettings([{ ...pipeline({}), values: { tracking: { mod: "sync" } } as never }]),
    );
    expect(error.message).toContain(
      'tracking.mod: unknown key; did you mean "mode"? (from pipeline "weather")',
    );
  });
});

describe("secrets among the settings", () => {
  it("are masked by their name", () => {
    const { effective } = deployerSettings(flavor, [deployer({ registryPassword: "hunter2" })]);
    expect(effective).toContainEqual({
      name: "deployer.registryPassword",
      value: "[secret]",
      origin: "deployer",
    });
    const serving = servingSettings([
      { ...command({}), values: { authKey: "0123456789abcdef", generateAuthKey: true } },
    ]);
    expect(JSON.stringify(serving.effective)).not.toContain("0123456789abcdef");
    expect(serving.effective).toContainEqual({
      name: "serving.generateAuthKey",
      value: true,
      origin: "command line",
    });
  });
});
