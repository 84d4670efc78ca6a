import { setTimeout as sleep } from "node:timers/promises";
import {
  currentStepContext,
  definePipeline,
  defineStep,
  MillraceError,
  type StepContext,
  type StepOptions,
} from "@millrace/core";
import { afterEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import type { Engine, EngineOptions } from "./engine.ts";
import { testEngine } from "./graph.fixture.ts";

const made: Engine[] = [];
afterEach(() => {
  for (const engine of made.splice(0)) engine.close();
});

const number = z.object({ n: z.number() });
type NumberStep = StepOptions<typeof number, z.ZodNumber, unknown, number>;

/** An engine for one step from a number to a number. */
function oneStep(
  run: (n: number, context: StepContext) => number | Promise<number>,
  step: Partial<Pick<NumberStep, "retries" | "timeout" | "cache">> = {},
  options: Partial<EngineOptions> = {},
): Engine {
  const only = defineStep({
    name: "only",
    input: number,
    output: z.number().min(0),
    run: ({ n }, context) => run(n, context),
    ...step,
  });
  const pipeline = definePipeline({
    name: "one",
    input: number,
    build: ({ n }) => ({ out: only({ n }) }),
  });
  const engine = testEngine(pipeline, options);
  made.push(engine);
  return engine;
}

const once = (engine: Engine, n = 1, timeoutMs = 60_000) => engine.run({ input: { n }, timeoutMs });

describe("parse", () => {
  it("fills in defaults, refuses unknown keys, and names every issue's path", () => {
    const pipeline = definePipeline({
      name: "p",
      input: z.object({ a: z.number().default(3), b: z.object({ c: z.string() }).optional() }),
      build: ({ a }) => ({ a }),
    });
    const engine = testEngine(pipeline);
    made.push(engine);
    expect(engine.parse({})).toEqual({ a: 3 });
    expect(() => engine.parse({ a: "x", b: { c: 1 }, aa: 1 })).toThrow(
      expect.objectContaining({
        code: "PARAMETERS_INVALID",
        issues: [
          expect.objectContaining({ path: ["a"] }),
          expect.objectContaining({ path: ["b", "c"] }),
          { path: ["aa"], message: 'unknown key; did you mean "a"?' },
        ],
      }),
    );
  });

  it("waits for async refinements", async () => {
    const input = z.object({ n: z.number().refine(async (n) => n > 0, "must be positive") });
    const engine = testEngine(definePipeline({ name: "p", input, build: ({ n }) => ({ n }) }));
    made.push(engine);
    await expect(engine.parse({ n: 1 })).resolves.toEqual({ n: 1 });
    await expect(engine.parse({ n: -1 })).rejects.toMatchObject({ code: "PARAMETERS_INVALID" });
  });

  it("blames a value that is nested too deeply, and not itself", () => {
    const input = z.object({ any: z.json() });
    const engine = testEngine(definePipeline({ name: "p", input, build: ({ any }) => ({ any }) }));
    made.push(engine);
    const any: unknown = JSON.parse("[".repeat(50_000) + "]".repeat(50_000));
    expect(() => engine.parse({ any })).toThrow(
      expect.objectContaining({ code: "PARAMETERS_INVALID" }),
    );
  });
});

describe("a run", () => {
  it("gives outputs by name, step timings and a time-ordered id", async () => {
    const engine = oneStep(async (n) => n * 2);
    const [first, second] = [await once(engine, 2), await once(engine, 3)];
    expect(first).toMatchObject({ status: "completed", outputs: { out: 4 }, error: null });
    expect(first.stepRuns()).toEqual([
      {
        step: "only",
        status: "completed",
        attempts: 1,
        startMs: expect.any(Number),
        durationMs: expect.any(Number),
      },
    ]);
    expect(first.name).toBe(`one-${first.id.slice(24)}`);
    expect(first.id < second.id).toBe(true);
  });

  it("ends at once when its steps are plain functions", () => {
    const ends: string[] = [];
    const run = oneStep((n) => n).start({ input: { n: 1 }, timeoutMs: 1000 }, (ended) =>
      ends.push(ended.status),
    );
    expect(run.status).toBe("completed");
    expect(ends).toEqual(["completed"]);
  });

  it("gives steps parsed values: transforms, defaults and refinements hold between steps", async () => {
    const first = defineStep({
      name: "first",
      input: z.object({ day: z.iso.datetime().transform((text) => new Date(text)) }),
      output: z.object({ at: z.date(), tag: z.string().default("none") }),
      run: ({ day }) => ({ at: day }),
    });
    const second = defineStep({
      name: "second",
      input: z.object({ at: z.date(), tag: z.string() }),
      output: z.string(),
      run: ({ at, tag }) => `${at.getUTCFullYear()} ${tag}`,
    });
    const pipeline = definePipeline({
      name: "p",
      input: z.object({ day: z.string() }),
      build: ({ day }) => {
        const { at, tag } = first({ day });
        return { out: second({ at, tag }) };
      },
    });
    const engine = testEngine(pipeline);
    made.push(engine);
    const run = await engine.run({ input: { day: "2026-01-02T00:00:00Z" }, timeoutMs: 1000 });
    expect(run.outputs).toEqual({ out: "2026 none" });
  });

  it("keeps a literal that is wired to a step out of the step's reach", async () => {
    const spoil = defineStep({
      name: "spoil",
      input: z.object({ list: z.custom<string[]>() }),
      output: z.number(),
      run: ({ list }) => list.push("spoiled"),
    });
    const pipeline = definePipeline({
      name: "p",
      input: z.object({}),
      build: () => ({ out: spoil({ list: ["a"] }) }),
    });
    const engine = testEngine(pipeline);
    made.push(engine);
    expect(await engine.run({ input: {}, timeoutMs: 1000 })).toMatchObject({ status: "failed" });
  });
});

describe("outputs", () => {
  const anything = (name: string, run: () => unknown) =>
    defineStep({ name, input: z.object({}), output: z.any(), run });

  /** Runs a pipeline of steps that wait for nothing, each one's value an output. */
  async function pair(first: () => unknown, second: () => unknown) {
    const engine = testEngine(
      definePipeline({
        name: "pair",
        input: z.object({}),
        build: () => ({
          fine: anything("early", () => 1)({}),
          first: anything("first", first)({}),
          second: anything("second", second)({}),
        }),
      }),
    );
    made.push(engine);
    return engine.run({ input: {}, timeoutMs: 1000 });
  }

  it("come with their JSON text", async () => {
    const run = await pair(
      () => ({ a: 1 }),
      () => null,
    );
    expect(run).toMatchObject({ status: "completed", failedStep: null });
    expect(run.outputsText).toBe('{"fine":1,"first":{"a":1},"second":null}');
  });

  const circle: Record<string, unknown> = {};
  circle["circle"] = circle;

  it.each<[string, unknown, string]>([
    ["a bigint", { n: 1n }, "second.n: is a bigint"],
    ["a circle", circle, "second.circle: contains itself"],
    ["a function", { f: () => 1 }, "second.f: is a function"],
    ["a Map", new Map(), "second: is of type Map"],
    ["NaN", [Number.NaN], "second[0]: is NaN"],
  ])("that are no JSON values fail the run and name the step: %s", async (_what, value, where) => {
    const run = await pair(
      () => 1,
      () => value,
    );
    expect(run).toMatchObject({ status: "failed", failedStep: "second", outputs: null });
    expect(run.outputsText).toBeUndefined();
    expect(run.error).toMatchObject({
      class: "pipeline",
      code: "OUTPUT_NOT_JSON",
      message: `An output of the pipeline is no JSON value: ${where}.`,
      details: { step: "second" },
    });
    expect(run.stepRuns().map(({ step, status }) => [step, status])).toEqual([
      ["early", "completed"],
      ["first", "completed"],
      ["second", "failed"],
    ]);
  });

  it("fail the run when they cannot even be read", async () => {
    const clock: z.ZodType<{ now: number }> = z.any();
    const trap = defineStep({
      name: "trap",
      input: z.object({}),
      output: clock,
      run: () => ({
        get now(): number {
          throw new Error("not now");
        },
      }),
    });
    const pipeline = definePipeline({
      name: "trapped",
      input: z.object({}),
      build: () => ({ now: trap({}).now }),
    });
    const engine = testEngine(pipeline);
    made.push(engine);
    const run = await engine.run({ input: {}, timeoutMs: 60_000 });
    expect(run.error).toMatchObject({
      code: "OUTPUT_NOT_JSON",
      message: "An output of the pipeline is no JSON value: now: throws: not now.",
      details: { step: "trap" },
    });
  });
});

describe("the context of a step", () => {
  it("carries ids, state, secrets and events, can be taken apart, and is the current one in called code", async () => {
    const events: unknown[] = [];
    const engine = oneStep(
      async (n, { emit, secret, run, step, state, log }) => {
        await Promise.resolve();
        emit("half", { n });
        expect(secret("KEY")).toBe("secret KEY");
        expect(state).toBe("the state");
        expect(step).toEqual({ id: "only", name: "only", attempt: 1 });
        expect(currentStepContext()?.run).toEqual(run);
        log.info(run.id);
        return n;
      },
      {},
      {
        state: "the state",
        secret: (name) => `secret ${name}` as never,
        logger: (run, step) => ({
          debug() {},
          warn() {},
          error() {},
          info: (text) => events.push([text === run.id, step]),
        }),
        onEvent: (_run, step, event, data) => events.push([step, event, data]),
      },
    );
    const run = await once(engine, 7);
    expect(run.error).toBeNull();
    expect(events).toEqual([
      ["only", "half", { n: 7 }],
      [true, "only"],
    ]);
    expect(currentStepContext()).toBeUndefined();
  });
});

it("a step sees the trace that the invocation was given", async () => {
  const seen: unknown[] = [];
  const engine = oneStep((n, { trace }) => {
    seen.push(trace);
    return n;
  });
  const trace = { traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" };
  await engine.run({ input: { n: 1 }, timeoutMs: 1000, trace });
  await once(engine);
  expect(seen).toEqual([trace, undefined]);
});

describe("steps that do not stop when they are told to", () => {
  it.each(["resolve", "reject"])("are counted until their promises %s", async (how) => {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const engine = oneStep((n) => (n === 1 ? promise : promise.then(() => n)));
    const runs = await Promise.all([once(engine, 1, 10), once(engine, 2, 10)]);
    expect(runs.map(({ status }) => status)).toEqual(["timed_out", "timed_out"]);
    expect(engine.lingering).toBe(2);
    if (how === "resolve") resolve(1);
    else reject(new Error("late"));
    await vi.waitFor(() => expect(engine.lingering).toBe(0));
  });

  it("are counted when their attempt is given up", async () => {
    const { promise, resolve } = Promise.withResolvers<number>();
    const engine = oneStep((n, { step }) => (step.attempt === 1 ? promise : n), {
      timeout: 0.01,
      retries: 1,
    });
    expect(await once(engine)).toMatchObject({ status: "completed" });
    expect(engine.lingering).toBe(1);
    resolve(1);
    await vi.waitFor(() => expect(engine.lingering).toBe(0));
  });

  it("are not counted when they obey, or have returned", async () => {
    const engine = oneStep((n, { signal }) => sleep(60_000, n, { signal }));
    await once(engine, 1, 10);
    await vi.waitFor(() => expect(engine.lingering).toBe(0));
    const slow = defineStep({
      name: "slow",
      input: number,
      output: z.number().refine(() => sleep(60_000, true, { ref: false })),
      run: ({ n }) => n,
    });
    const judged = testEngine(
      definePipeline({ name: "p", input: number, build: ({ n }) => ({ out: slow({ n }) }) }),
    );
    made.push(judged);
    expect(await once(judged, 1, 10)).toMatchObject({ status: "timed_out" });
    expect(judged.lingering).toBe(0);
  });
});

describe("a step that fails", () => {
  it("is named, with its cause", async () => {
    const cause = new Error("no network");
    const run = await once(oneStep(() => Promise.reject(cause)));
    expect(run).toMatchObject({ status: "failed", failedStep: "only", outputs: null });
    expect(run.error).toMatchObject({
      class: "pipeline",
      code: "STEP_FAILED",
      message: 'Step "only" failed: no network',
      details: { step: "only", attempts: 1 },
      cause,
    });
  });

  it("is named with the field when its input or its output is wrong", async () => {
    const output = await once(oneStep(() => -1));
    expect(output.error).toMatchObject({
      code: "STEP_OUTPUT_INVALID",
      message: expect.stringContaining('"only"'),
    });
    const input = await oneStep((n) => n).run({ input: { n: "x" }, timeoutMs: 1000 });
    expect(input.error).toMatchObject({ code: "STEP_INPUT_INVALID", issues: [{ path: ["n"] }] });
  });

  it.each<[string, (n: number) => boolean | Promise<boolean>]>([
    [
      "throws",
      (n) => {
        if (n === 2) throw new Error("no such unit");
        return true;
      },
    ],
    ["rejects", async (n) => n !== 2 || Promise.reject(new Error("no such unit"))],
  ])("is named when the schema of its output %s", async (_, check) => {
    const output = z.number().refine(check);
    const only = defineStep({ name: "only", input: number, output, run: ({ n }) => n });
    const pipeline = definePipeline({
      name: "one",
      input: number,
      build: ({ n }) => ({ out: only({ n }) }),
    });
    const engine = testEngine(pipeline);
    made.push(engine);
    expect(await once(engine, 1)).toMatchObject({ status: "completed" });
    expect((await once(engine, 2)).error).toMatchObject({
      code: "STEP_FAILED",
      message: 'Step "only" failed: no such unit',
    });
  });

  it("is repeated as often as it may be, each time after a wait, and each attempt knows its number", async () => {
    const attempts: number[] = [];
    const delays: unknown[] = [];
    const engine = oneStep(
      (n, context) => {
        attempts.push(context.step.attempt);
        if (attempts.length < 3) throw new Error("not yet");
        return n;
      },
      { retries: { limit: 2, delayMs: 5 } },
      {
        logger: () => ({
          debug() {},
          info() {},
          warn: (_text, fields) => delays.push(fields?.["delayMs"]),
          error() {},
        }),
      },
    );
    const run = await once(engine);
    expect(run.status).toBe("completed");
    expect(attempts).toEqual([1, 2, 3]);
    expect(delays).toHaveLength(2);
    expect(delays.every(Number.isInteger)).toBe(true);
    expect(run.stepRuns()).toMatchObject([{ attempts: 3, status: "completed" }]);
    expect(run.durationMs).toBeGreaterThanOrEqual(2.5 + 5 - 1);
  });

  it("is not repeated when its input is wrong, for it will not get better", async () => {
    const engine = oneStep((n) => n, { retries: 3 });
    const run = await engine.run({ input: { n: "x" }, timeoutMs: 60_000 });
    expect(run.stepRuns()).toMatchObject([{ attempts: 1, status: "failed" }]);
  });

  it("is given up for this attempt at its timeout, and the attempt's signal aborts", async () => {
    const signals: AbortSignal[] = [];
    const engine = oneStep(
      (n, context) => {
        signals.push(context.signal);
        return context.step.attempt === 2 ? n : new Promise<number>(() => {});
      },
      { timeout: 0.02, retries: { limit: 1, delayMs: 1 } },
    );
    const run = await once(engine);
    expect(run.status).toBe("completed");
    expect(signals.map((signal) => signal.aborted)).toEqual([true, false]);
    expect(signals[0]?.reason).toMatchObject({
      code: "STEP_TIMEOUT",
      message: 'Step "only" did not finish within 0.02 s.',
    });
  });

  it("keeps the last attempt's error when all of them failed", async () => {
    const engine = oneStep(() => new Promise<number>(() => {}), {
      timeout: 0.01,
      retries: { limit: 1, delayMs: 1 },
    });
    const run = await once(engine);
    expect(run).toMatchObject({
      status: "failed",
      error: { code: "STEP_TIMEOUT", details: { attempts: 2 } },
    });
    expect(run.stepRuns()).toMatchObject([{ status: "timed_out", attempts: 2 }]);
  });
});

describe("the run's deadline", () => {
  it.each([30, 700])(
    "ends a run of %i ms although its step ignores the signal",
    async (timeoutMs) => {
      let late: (() => void) | undefined;
      const engine = oneStep(
        (n) =>
          new Promise((resolve) => {
            late = () => resolve(n);
          }),
      );
      const run = await once(engine, 1, timeoutMs);
      expect(run).toMatchObject({
        status: "timed_out",
        error: { code: "RUN_TIMEOUT", class: "timeout" },
      });
      expect(run.stepRuns()).toMatchObject([{ status: "timed_out" }]);
      late?.();
      await sleep(1);
      expect(run.status).toBe("timed_out");
    },
  );

  it("announces a run that lasts long, once", async () => {
    const announced: string[] = [];
    const engine = oneStep(
      async (n) => sleep(1600, n),
      {},
      { onLongRun: (run) => announced.push(run.status) },
    );
    await once(engine);
    expect(announced).toEqual(["running"]);
  });
});

describe("cancelling", () => {
  it("shows its reason to a step that asks for its signal only afterwards", async () => {
    const context = Promise.withResolvers<StepContext>();
    const engine = oneStep((_n, given) => {
      context.resolve(given);
      return new Promise<number>(() => {});
    });
    const stop = new AbortController();
    const running = engine.run({ input: { n: 1 }, timeoutMs: 60_000 }, stop.signal);
    const given = await context.promise;
    stop.abort();
    expect(await running).toMatchObject({
      status: "cancelled",
      error: { code: "RUN_CANCELLED", class: "aborted" },
    });
    expect(given.signal.reason).toMatchObject({ code: "RUN_CANCELLED" });
  });

  it("of a run that has not begun lets it not begin for long, and of one that ended changes nothing", async () => {
    const engine = oneStep(async (n) => n);
    const stopped = await engine.run({ input: { n: 1 }, timeoutMs: 1000 }, AbortSignal.abort());
    expect(stopped.status).toBe("cancelled");
    const run = await once(engine);
    run.abort(new MillraceError({ class: "aborted", code: "RUN_CANCELLED", message: "late" }));
    expect(run.status).toBe("completed");
  });

  it("ends the wait between two attempts", async () => {
    const engine = oneStep(() => Promise.reject(new Error("no")), {
      retries: { limit: 1, delayMs: 60_000, maxDelayMs: 60_000 },
    });
    const run = await once(engine, 1, 50);
    expect(run.status).toBe("timed_out");
  });
});

describe("the step cache", () => {
  it("reuses the output of an equal input, and of no other", async () => {
    const seen: number[] = [];
    const engine = oneStep(
      (n) => {
        seen.push(n);
        return n * 10;
      },
      { cache: true },
    );
    const runs = [await once(engine, 1), await once(engine, 1), await once(engine, 2)];
    expect(seen).toEqual([1, 2]);
    expect(runs.map((run) => run.outputs)).toEqual([{ out: 10 }, { out: 10 }, { out: 20 }]);
    expect(runs.map((run) => run.stepRuns()[0]?.status)).toEqual([
      "completed",
      "cached",
      "completed",
    ]);
  });

  it("keeps the output of an attempt that was repeated", async () => {
    let calls = 0;
    const engine = oneStep(
      (n) => {
        if (calls++ === 0) throw new Error("first");
        return n;
      },
      { cache: true, retries: { limit: 1, delayMs: 1 } },
    );
    const runs = [await once(engine), await once(engine)];
    expect(runs.map((run) => run.stepRuns()[0]?.status)).toEqual(["completed", "cached"]);
  });

  it("keeps no failures", async () => {
    let calls = 0;
    const engine = oneStep(
      (n) => {
        if (calls++ === 0) throw new Error("first");
        return n;
      },
      { cache: true },
    );
    expect((await once(engine)).status).toBe("failed");
    expect((await once(engine)).status).toBe("completed");
  });

  it("that does not take an output costs no run", async () => {
    const cache = {
      get: () => undefined,
      set: () => {
        throw new Error("full");
      },
    };
    const run = await once(
      oneStep((n) => n, { cache: true }, { cache }),
      1,
      1000,
    );
    expect(run).toMatchObject({ status: "completed", outputs: { out: 1 } });
  });

  it("is given no output that cannot be looked at, which fails the run at once", async () => {
    const odd = defineStep({
      name: "odd",
      input: number,
      output: z.any(),
      cache: true,
      run: async () => ({
        get x(): number {
          throw new Error("not now");
        },
      }),
    });
    const engine = testEngine(
      definePipeline({ name: "p", input: number, build: ({ n }) => ({ out: odd({ n }) }) }),
    );
    made.push(engine);
    expect((await once(engine, 1, 1000)).error?.code).toBe("OUTPUT_NOT_JSON");
  });

  it("that cannot be read is done without, and the log says so", async () => {
    const cache = { get: () => Promise.reject(new Error("disk")), set: () => undefined };
    const warn = vi.fn();
    const logger = () => ({ debug() {}, info() {}, warn, error() {} });
    const run = await once(oneStep((n) => n, { cache: true }, { cache, logger }));
    expect(run).toMatchObject({ status: "completed", outputs: { out: 1 } });
    expect(warn.mock.calls).toEqual([
      ["The cache could not be read.", { error: new Error("disk") }],
    ]);
  });
});
