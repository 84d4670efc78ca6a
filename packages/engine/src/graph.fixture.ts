import { definePipeline, defineStep, type Reference, type StepContext } from "@millrace/core";
import fc from "fast-check";
import { z } from "zod";
import { createEngine, type Engine, type EngineOptions } from "./engine.ts";

/** For tests: engines with nothing around them. */
export function testEngine(
  pipeline: { compile(): Parameters<typeof createEngine>[0] },
  options: Partial<EngineOptions> = {},
): Engine {
  const silent = { debug() {}, info() {}, warn() {}, error() {} };
  return createEngine(pipeline.compile(), {
    snapshotId: "snapshot",
    logger: () => silent,
    secret: (name) => {
      throw new Error(`no secret ${name}`);
    },
    ...options,
  });
}

/** For each step the steps that it waits for: all of them earlier ones. */
export type Dependencies = readonly (readonly number[])[];

/** Random graphs of up to 12 steps. */
export const dependencies: fc.Arbitrary<Dependencies> = fc
  .integer({ min: 0, max: 12 })
  .chain((size) =>
    fc.tuple(
      ...Array.from({ length: size }, (_, step) =>
        fc.subarray(Array.from({ length: step }, (_, earlier) => earlier)),
      ),
    ),
  );

/** What a step of a random graph does; its number tells which one it is. */
export type Work = (step: number, context: StepContext) => unknown;

/** A pipeline of a random graph: step n adds up what it waits for and n itself. Every step's value is an output. */
export function graphPipeline(graph: Dependencies, work: Work) {
  const node = defineStep({
    name: "node",
    input: z.object({ step: z.number(), values: z.array(z.number()) }),
    output: z.number(),
    run: async ({ step, values }, context: StepContext) => {
      await work(step, context);
      return values.reduce((sum, value) => sum + value, step);
    },
  });
  return definePipeline({
    name: "random",
    input: z.object({}),
    build: () => {
      const made: Reference<number>[] = [];
      for (const [step, waitsFor] of graph.entries()) {
        const values = made.filter((_, earlier) => waitsFor.includes(earlier));
        made.push(node({ step, values }, { id: `s${step}` }));
      }
      return Object.fromEntries(made.map((reference, step) => [`s${step}`, reference]));
    },
  });
}

/** What the steps of a graph return when all goes well. */
export function expectedOutputs(graph: Dependencies): Readonly<Record<string, number>> {
  const values: number[] = [];
  for (const [step, waitsFor] of graph.entries()) {
    values.push(waitsFor.reduce((sum, earlier) => sum + (values[earlier] ?? 0), step));
  }
  return Object.fromEntries(values.map((value, step) => [`s${step}`, value]));
}
