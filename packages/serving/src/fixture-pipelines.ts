import { setTimeout as sleep } from "node:timers/promises";
import { definePipeline, defineStep, type StepContext, stepContext } from "@millrace/core";
import { z } from "zod";

/** For tests: pipelines that show one thing each. */

const celsius = defineStep({
  name: "celsius",
  input: z.object({ city: z.string() }),
  output: z.object({ city: z.string(), celsius: z.number() }),
  run: async ({ city }) => ({ city, celsius: city.length }),
});

const advise = defineStep({
  name: "advise",
  input: z.object({ celsius: z.number() }),
  output: z.string(),
  run: async ({ celsius }) => (celsius < 6 ? "coat" : "shirt"),
});

/** Two steps, one after the other. */
export const weather = definePipeline({
  name: "weather",
  description: "What to wear.",
  input: z.object({
    city: z.string().min(1).default("Paris"),
    days: z.int().min(1).max(7).optional(),
  }),
  build: ({ city }) => {
    const report = celsius({ city });
    return { report, advice: advise({ celsius: report.celsius }) };
  },
});

interface State {
  readonly runs: { begun: number; aborted: number; ended: number };
}

/** How many runs began, saw their signal abort, or ended, in this process. */
const counts: State["runs"] = { begun: 0, aborted: 0, ended: 0 };

const acts = z.enum([
  "wait",
  "throw",
  "stray",
  "wrong",
  "deaf",
  "forever",
  "crash",
  "fall",
  "exit",
  "count",
  "log",
  "trace",
  "secret",
  "leak",
  "emit",
  "flood",
]);

function fall(): never {
  throw new Error("outside of any step");
}

const perform = defineStep({
  name: "perform",
  input: z.object({ what: acts, ms: z.number() }),
  output: z.object({ begun: z.number(), aborted: z.number(), ended: z.number(), text: z.string() }),
  run: async ({ what, ms }, context: StepContext<State>) => {
    const { runs } = context.state;
    if (what === "emit") context.emit("before", { text: "two\nlines" });
    if (what === "count") return { ...runs, text: "" };
    runs.begun++;
    if (what === "fall") setImmediate(fall);
    if (what === "deaf") await sleep(ms);
    else if (what === "forever") await new Promise(() => undefined);
    else await wait(ms, context.signal, runs);
    runs.ended++;
    switch (what) {
      case "throw":
        throw new Error("the inner cause");
      case "stray":
        void Promise.reject(new Error("nobody awaits this", { cause: new Error("its cause") }));
        return { ...runs, text: "strayed" };
      case "crash":
        setImmediate(fall);
        return { ...runs, text: "" };
      case "exit":
        return process.exit(0);
      case "wrong":
        return { ...runs, text: 42 as unknown as string };
      case "log":
        context.log.info("hello from the step", { city: "Lisbon" });
        stepContext().emit("progress", { share: 0.5 });
        return { ...runs, text: context.run.id };
      case "emit":
        // What the types forbid may come all the same.
        context.emit("odd", 1n as never);
        context.emit("after", ms);
        return { ...runs, text: "emitted" };
      case "flood":
        for (let n = 0; n < 2000; n++) {
          context.emit("part", "x".repeat(10_000));
          if (n % 100 === 0) await sleep(1);
        }
        return { ...runs, text: "flooded" };
      case "trace":
        context.log.info("traced");
        return { ...runs, text: JSON.stringify(context.trace ?? null) };
      case "secret":
        context.log.info(`leaked ${context.secret("API_KEY").reveal()}`);
        return { ...runs, text: String(context.secret("API_KEY").reveal().length) };
      case "leak":
        throw new Error(`cannot log in with ${context.secret("API_KEY").reveal()}`);
      default:
        return { ...runs, text: "" };
    }
  },
});

async function wait(ms: number, signal: AbortSignal, runs: State["runs"]): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    runs.aborted++;
    throw error;
  }
}

/** One step that does as it is told. */
export const obedient = definePipeline({
  name: "obedient",
  input: z.object({ what: acts.default("count"), ms: z.number().default(0) }),
  secrets: ["API_KEY"],
  onInit: ({ log }) => {
    log.info("onInit");
    return { runs: counts };
  },
  onCleanup: (_state, { log }) => log.info("onCleanup"),
  build: ({ what, ms }) => ({ result: perform({ what, ms }) }),
});

/** What JSON cannot carry. */
const ODD_VALUES = {
  bigint: () => 1n,
  circle: () => {
    const circle: unknown[] = [];
    circle.push(circle);
    return circle;
  },
  function: () => () => 1,
  map: () => new Map(),
  nan: () => Number.NaN,
} satisfies Record<string, () => unknown>;

const refuse = (): never => {
  throw new Error("not to be looked at");
};

/** What nobody should throw. */
const ODD_ERRORS = {
  null: () => null,
  undefined: () => undefined,
  string: () => "only text",
  bare: () => Object.create(null) as unknown,
  object: () => Object.defineProperties({ toString: refuse }, { message: { get: refuse } }),
  error: () =>
    Object.defineProperties(new Error("x"), {
      message: { get: refuse },
      stack: { get: refuse },
    }),
  bigint: () => ({ n: 1n }),
  proxy: () => new Proxy({}, { get: refuse, getPrototypeOf: refuse }),
} satisfies Record<string, () => unknown>;

const surprise = defineStep({
  name: "surprise",
  input: z.object({ returns: z.string(), throws: z.string(), logs: z.boolean() }),
  output: z.any(),
  run: async ({ returns, throws, logs }, { log }) => {
    if (logs) log.info("odd", Object.defineProperty({}, "a", { get: refuse, enumerable: true }));
    const error = Object.entries(ODD_ERRORS).find(([name]) => name === throws);
    if (error !== undefined) throw error[1]();
    const value = Object.entries(ODD_VALUES).find(([name]) => name === returns);
    return { value: value?.[1]() };
  },
});

/** Returns, throws or logs what a sensible step would not. */
export const surprising = definePipeline({
  name: "surprising",
  input: z.object({
    returns: z.enum(["", ...Object.keys(ODD_VALUES)]).default(""),
    throws: z.enum(["", ...Object.keys(ODD_ERRORS)]).default(""),
    logs: z.boolean().default(false),
  }),
  build: ({ returns, throws, logs }) => ({
    city: celsius({ city: "Rome" }).city,
    out: surprise({ returns, throws, logs }),
  }),
});

const repeat = defineStep({
  name: "repeat",
  input: z.object({ value: z.any() }),
  output: z.any(),
  run: async ({ value }) => value,
});

/** Takes any value, and gives it back. */
export const accepting = definePipeline({
  name: "accepting",
  input: z.object({ value: z.any(), record: z.record(z.string(), z.any()).default({}) }),
  build: ({ value, record }) => ({ value: repeat({ value }), record: repeat({ value: record }) }),
});

/** Looks its city up before it takes it, and finds no end with one of them. */
export const checking = definePipeline({
  name: "checking",
  input: z.object({
    city: z.string().refine(async (city) => {
      if (city === "Atlantis") await new Promise(() => undefined);
      return city !== "Nowhere";
    }),
  }),
  build: ({ city }) => ({ city: celsius({ city }).city }),
});

/** All of its texts are markup. */
export const hostile = definePipeline({
  name: "hostile",
  description: "<img src=x onerror='window.broken = 1'><b>bold</b>",
  input: z.object({
    city: z
      .enum(["<script>window.broken = 1</script>", "</script><b>"])
      .default("<script>window.broken = 1</script>")
      .describe("</textarea><b>"),
    "<b>": z.string().default("</pre><b>"),
  }),
  build: ({ city }) => ({ text: advise({ celsius: 1 }), city: celsius({ city }).city }),
});

/** Its onInit does as the environment says. */
export const reluctant = definePipeline({
  name: "reluctant",
  input: z.object({}),
  settings: {},
  onInit: async ({ signal }) => {
    if (process.env["INIT"] === "leak") throw new Error("cannot log in with very-secret-value");
    if (process.env["INIT"] === "throw") throw new Error("the database is away");
    if (process.env["INIT"] === "hang") await sleep(60_000, undefined, { signal });
    return null;
  },
  build: () => ({ out: advise({ celsius: process.env["GRAPH"] === "differs" ? 2 : 1 }) }),
});

/** Its module throws, or is never loaded, when the environment says so. */
if (process.env["MODULE"] === "hang") await sleep(60_000);
if (process.env["MODULE"] === "throw")
  throw new Error("the module is broken", {
    cause: new Error("no native code", { cause: new Error("librt.so.1: cannot open") }),
  });
