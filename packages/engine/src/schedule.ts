import type {
  CachePolicy,
  CompiledPipeline,
  GraphStep,
  RetryPolicy,
  StepDefinition,
  Wire,
} from "@millrace/core";
import { z } from "zod";
import { isJsonOnly } from "./json-output.ts";
import { makeParser, type Parser } from "./parser.ts";
import { compileWire, type Reader } from "./wire.ts";

/** One step of the graph, ready to be run. */
export interface ScheduledStep {
  readonly index: number;
  readonly id: string;
  readonly name: string;
  readonly definition: StepDefinition;
  readonly readInput: Reader;
  readonly parseInput: Parser;
  readonly parseOutput: Parser;
  readonly run: StepDefinition["run"];
  /** How many steps must finish first. */
  readonly waitsFor: number;
  /** Indexes of the steps that wait for this one. */
  readonly dependents: readonly number[];
  readonly retries: RetryPolicy;
  /** Milliseconds; null when only the run's deadline applies. */
  readonly timeoutMs: number | null;
  readonly cache: CachePolicy | null;
}

export interface ScheduledOutput {
  readonly name: string;
  readonly wire: Wire;
  readonly read: Reader;
  /** False when its schema lets values pass that JSON does not carry: then each value is looked at. */
  readonly jsonOnly: boolean;
}

/** Everything about a pipeline that does not change from run to run. */
export interface Schedule {
  readonly pipeline: string;
  readonly steps: readonly ScheduledStep[];
  /** Steps that wait for no other one. */
  readonly first: readonly number[];
  readonly outputs: readonly ScheduledOutput[];
  readonly parseInput: Parser;
}

const schemasOfOutputs = z.object({ properties: z.record(z.string(), z.unknown()) });

/** Computed once per snapshot. */
export function makeSchedule(compiled: CompiledPipeline): Schedule {
  const { graph } = compiled;
  const outputSchemas = schemasOfOutputs.parse(compiled.outputSchema).properties;
  const indexOf = new Map(graph.steps.map((step, index) => [step.id, index]));
  const dependents = graph.steps.map((): number[] => []);
  for (const [index, step] of graph.steps.entries()) {
    for (const id of step.after) dependents[indexOf.get(id) ?? -1]?.push(index);
  }
  const steps = graph.steps.map((step, index) =>
    scheduleStep(step, index, compiled, indexOf, dependents[index] ?? []),
  );
  return {
    pipeline: compiled.name,
    steps,
    first: steps.filter((step) => step.waitsFor === 0).map((step) => step.index),
    outputs: Object.entries(graph.outputs).map(([name, wire]) => ({
      name,
      wire,
      read: compileWire(wire, indexOf),
      jsonOnly: isJsonOnly(outputSchemas[name]),
    })),
    parseInput: makeParser(compiled.input),
  };
}

function scheduleStep(
  step: GraphStep,
  index: number,
  compiled: CompiledPipeline,
  indexOf: ReadonlyMap<string, number>,
  dependents: readonly number[],
): ScheduledStep {
  const definition = compiled.definitions.get(step.id);
  if (definition === undefined) throw new TypeError(`step "${step.id}" has no definition`);
  return {
    index,
    id: step.id,
    name: step.name,
    definition,
    readInput: compileWire(step.input, indexOf),
    parseInput: makeParser(definition.input),
    parseOutput: makeParser(definition.output),
    run: definition.run,
    waitsFor: step.after.length,
    dependents,
    retries: step.retries,
    timeoutMs: step.timeoutSeconds === null ? null : step.timeoutSeconds * 1000,
    cache: step.cache,
  };
}
