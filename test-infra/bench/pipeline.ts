import { definePipeline, defineStep } from "millrace";
import { z } from "zod";

const addOne = defineStep({
  name: "add_one",
  input: z.object({ value: z.number() }),
  output: z.object({ value: z.number() }),
  run: async ({ value }) => ({ value: value + 1 }),
});

const double = defineStep({
  name: "double",
  input: z.object({ value: z.number() }),
  output: z.object({ value: z.number() }),
  run: async ({ value }) => ({ value: value * 2 }),
});

function twoSteps(name: string) {
  return definePipeline({
    name,
    input: z.object({ value: z.number() }),
    build: ({ value }) => {
      const sum = addOne({ value });
      return { result: double({ value: sum.value }) };
    },
  });
}

/** The two-step pipeline of the serving benchmarks; a deployment each, since a snapshot has at most one. */
export const untracked = twoSteps("untracked");
export const tracked = twoSteps("tracked");
export const synchronous = twoSteps("synchronous");
