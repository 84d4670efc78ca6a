import { MillraceError } from "../errors.ts";
import { type Graph, type GraphStep, stepsOf } from "./graph.ts";
import { checkKey, makeReference, sourceOf, toWire, wiringError } from "./reference.ts";
import type { StepDefinition, StepUse } from "./step-definition.ts";

const MAX_STEPS = 1000;

/** Collects the steps while a pipeline's `build` runs. Steps are added in an order in which each one's inputs exist. */
export class GraphBuild {
  readonly #steps = new Map<string, { node: GraphStep; definition: StepDefinition }>();
  readonly pipeline: string;

  constructor(pipeline: string) {
    this.pipeline = pipeline;
  }

  addStep(definition: StepDefinition, input: unknown, use: StepUse): object {
    const id = this.#freeId(definition.name, use.id);
    const wire = toWire(input, `${id}: input`);
    const waitsFor = (use.after ?? []).map((reference) => this.#stepBehind(reference, id));
    const after = [...new Set([...stepsOf(wire), ...waitsFor])];
    for (const step of after) this.#mustKnow(step, id);
    if (this.#steps.size >= MAX_STEPS) {
      throw wiringError(
        `Pipeline "${this.pipeline}" has more than ${MAX_STEPS} steps.`,
        "Move loops over data into a step.",
      );
    }
    const { name, retries, timeoutSeconds, cache } = definition;
    this.#steps.set(id, {
      definition,
      node: { id, name, input: wire, after, retries, timeoutSeconds, cache },
    });
    return makeReference({ from: "step", step: id, path: [] });
  }

  finish(outputs: unknown): { graph: Graph; definitions: ReadonlyMap<string, StepDefinition> } {
    if (
      typeof outputs !== "object" ||
      outputs === null ||
      Array.isArray(outputs) ||
      sourceOf(outputs) !== undefined
    ) {
      throw wiringError(
        `build of pipeline "${this.pipeline}" must return an object of named outputs.`,
        "Return for example { weather, advice }.",
      );
    }
    const wires = Object.entries(outputs).map(([name, value]) => {
      checkKey(name, `The object that build of pipeline "${this.pipeline}" returned`);
      return [name, toWire(value, `output "${name}"`)] as const;
    });
    for (const [name, wire] of wires)
      for (const step of stepsOf(wire)) this.#mustKnow(step, `output "${name}"`);
    const steps = [...this.#steps.values()];
    return {
      graph: { steps: steps.map(({ node }) => node), outputs: Object.fromEntries(wires) },
      definitions: new Map(steps.map(({ node, definition }) => [node.id, definition])),
    };
  }

  #freeId(name: string, wanted: string | undefined): string {
    if (wanted !== undefined) {
      if (!/^[A-Za-z][A-Za-z0-9_]{0,63}$/.test(wanted)) {
        throw wiringError(
          `The step id ${JSON.stringify(wanted)} is not usable.`,
          "Use 1 to 64 letters, digits and _, beginning with a letter.",
        );
      }
      if (this.#steps.has(wanted)) {
        throw wiringError(
          `Pipeline "${this.pipeline}" has two steps with the id "${wanted}".`,
          "Give each use its own id.",
        );
      }
      return wanted;
    }
    let id = name;
    for (let use = 2; this.#steps.has(id); use++) id = `${name}_${use}`;
    return id;
  }

  #stepBehind(reference: unknown, id: string): string {
    const source = sourceOf(reference);
    if (source?.from === "step") return source.step;
    throw wiringError(
      `${id}: \`after\` takes outputs of steps.`,
      "Pass what another step returned.",
    );
  }

  #mustKnow(step: string, user: string): void {
    if (this.#steps.has(step)) return;
    throw wiringError(
      `${user} reads from step "${step}", which belongs to another pipeline or another build.`,
      "Use only references that were made inside this build function.",
    );
  }
}

let current: GraphBuild | undefined;

/** The build that is under way. @throws MillraceError `STEP_OUTSIDE_BUILD` when there is none. */
export function currentBuild(caller: string): GraphBuild {
  if (current !== undefined) return current;
  throw new MillraceError({
    class: "pipeline",
    code: "STEP_OUTSIDE_BUILD",
    message: `${caller} was called outside of a pipeline's build function.`,
    action: "Call steps inside build; to test one alone, call its definition.run(input, context).",
  });
}

/** Runs `build` with the given collector as the current one. */
export function collect<T>(build: GraphBuild, run: () => T): T {
  if (current !== undefined) {
    throw wiringError(
      `Pipeline "${build.pipeline}" was built inside the build of another one.`,
      "Share steps, not pipelines.",
    );
  }
  current = build;
  try {
    return run();
  } finally {
    current = undefined;
  }
}
