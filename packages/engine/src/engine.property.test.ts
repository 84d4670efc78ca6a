import { setImmediate as turn } from "node:timers/promises";
import { MillraceError } from "@millrace/core";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type Dependencies,
  dependencies,
  expectedOutputs,
  graphPipeline,
  testEngine,
} from "./graph.fixture.ts";

const minute = 60_000;
const cancelled = new MillraceError({ class: "aborted", code: "RUN_CANCELLED", message: "enough" });
const unhandled: unknown[] = [];
const note = (error: unknown): number => unhandled.push(error);

beforeAll(() => void process.on("unhandledRejection", note));
afterAll(() => {
  process.off("unhandledRejection", note);
  expect(unhandled).toEqual([]);
});

/** A run whose steps end only when the test says so. */
function gatedRun(graph: Dependencies) {
  const gates = new Map<number, PromiseWithResolvers<void>>();
  const begun: number[] = [];
  const signals = new Map<number, AbortSignal>();
  const finished = new Set<number>();
  const engine = testEngine(
    graphPipeline(graph, (step, context) => {
      begun.push(step);
      signals.set(step, context.signal);
      const gate = Promise.withResolvers<void>();
      gates.set(step, gate);
      return gate.promise;
    }),
  );
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const run = engine.start({ input: {}, timeoutMs: minute }, () => resolve());
  const open = async (step: number, error?: Error): Promise<void> => {
    const gate = gates.get(step);
    gates.delete(step);
    finished.add(step);
    if (error === undefined) gate?.resolve();
    else gate?.reject(error);
    await turn();
  };
  return {
    engine,
    run,
    ended,
    begun,
    signals,
    finished,
    open,
    running: () => [...gates.keys()].sort((a, b) => a - b),
  };
}

/** Steps that have not finished and wait for nothing any more. */
function ready(graph: Dependencies, finished: ReadonlySet<number>): number[] {
  return [...graph.keys()].filter(
    (step) => !finished.has(step) && (graph[step] ?? []).every((earlier) => finished.has(earlier)),
  );
}

describe("a random graph", () => {
  it("runs every step once, after what it waits for, and as many at a time as the graph allows", async () => {
    await fc.assert(
      fc.asyncProperty(dependencies, fc.infiniteStream(fc.nat()), async (graph, picks) => {
        const gated = gatedRun(graph);
        for (let left = graph.length; left > 0; left--) {
          const running = gated.running();
          expect(running).toEqual(ready(graph, gated.finished));
          await gated.open(running[(picks.next().value ?? 0) % running.length] ?? -1);
        }
        await gated.ended;
        gated.engine.close();
        expect(gated.run.status).toBe("completed");
        expect(gated.begun.toSorted((a, b) => a - b)).toEqual([...graph.keys()]);
        expect(gated.run.outputs).toEqual(expectedOutputs(graph));
        expect(gated.engine.active.size).toBe(0);
      }),
      { numRuns: 150 },
    );
  });

  it("stops at once when it is cancelled: every signal aborts, and no further step begins", async () => {
    await fc.assert(
      fc.asyncProperty(
        dependencies,
        fc.nat(12),
        fc.infiniteStream(fc.nat()),
        async (graph, stopAfter, picks) => {
          fc.pre(graph.length > 0);
          const gated = gatedRun(graph);
          for (let step = 0; step < Math.min(stopAfter, graph.length - 1); step++) {
            const running = gated.running();
            await gated.open(running[(picks.next().value ?? 0) % running.length] ?? -1);
          }
          const live = gated.running();
          const begun = gated.begun.length;
          gated.run.abort(cancelled);
          expect(gated.run.status).toBe("cancelled");
          await gated.ended;
          for (const step of live) {
            expect(gated.signals.get(step)?.reason).toBe(cancelled);
            await gated.open(step, new Error("stopped"));
          }
          gated.engine.close();
          expect(gated.begun).toHaveLength(begun);
          expect(gated.run.error).toBe(cancelled);
          expect(statuses(gated.run.stepRuns())).toEqual(
            [...graph.keys()].map((step) =>
              live.includes(step)
                ? "cancelled"
                : gated.finished.has(step)
                  ? "completed"
                  : "skipped",
            ),
          );
        },
      ),
      { numRuns: 150 },
    );
  });

  it("fails by the first step that fails, and that stops the others", async () => {
    await fc.assert(
      fc.asyncProperty(
        dependencies,
        fc.nat(),
        fc.infiniteStream(fc.nat()),
        async (graph, which, picks) => {
          fc.pre(graph.length > 0);
          const wrong = which % graph.length;
          const gated = gatedRun(graph);
          while (gated.run.status === "running") {
            const running = gated.running();
            const step = running[(picks.next().value ?? 0) % running.length] ?? -1;
            await gated.open(step, step === wrong ? new Error("no") : undefined);
          }
          gated.engine.close();
          expect(gated.run.failedStep).toBe(`s${wrong}`);
          expect(gated.run.error?.code).toBe("STEP_FAILED");
          for (const step of gated.running()) {
            expect(gated.signals.get(step)?.aborted).toBe(true);
            await gated.open(step, new Error("aborted"));
          }
          expect(gated.run.status).toBe("failed");
        },
      ),
      { numRuns: 150 },
    );
  });
});

function statuses(steps: readonly { readonly step: string; readonly status: string }[]): string[] {
  return steps.map(({ status }) => status);
}
