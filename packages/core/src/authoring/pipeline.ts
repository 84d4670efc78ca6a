import { getCallSites } from "node:util";
import type { z } from "zod";
import { MillraceError } from "../errors.ts";
import type { JsonSchema } from "../json.ts";
import type { ServingSettingsInput } from "../serving-settings.ts";
import { collect, GraphBuild } from "./build.ts";
import type { ProcessContext } from "./context.ts";
import type { Graph, Wire } from "./graph.ts";
import {
  definitionsOf,
  fieldSchema,
  hasReference,
  isAlwaysThere,
  isObjectSchema,
  jsonSchemaOf,
  moveReferences,
} from "./json-schema.ts";
import { isObject, unknownOption } from "./known-options.ts";
import { makeReference, type Reference, wiringError } from "./reference.ts";
import type { StepDefinition } from "./step-definition.ts";
import { checkWiring } from "./wiring.ts";

const PIPELINE_NAME = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;
const SECRET_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
const BRAND = Symbol.for("millrace.pipeline");

export interface PipelineOptions<
  Input extends z.ZodObject,
  State,
  Outputs extends Readonly<Record<string, Reference<unknown, State>>>,
> {
  /** 1 to 64 characters: letters, digits, `_` and `-`, beginning with a letter. */
  readonly name: string;
  readonly description?: string;
  /** The parameters of an invocation. Unknown keys are refused. */
  readonly input: Input;
  /** Runs once per process before the first request; its result is every step's `context.state`. */
  readonly onInit?: (context: ProcessContext) => State | Promise<State>;
  /** Runs once when the process ends, after the last request. */
  readonly onCleanup?: (state: State, context: ProcessContext) => void | Promise<void>;
  /** Names of the secrets that the pipeline reads by `context.secret(name)`; their values come at deploy time. */
  readonly secrets?: readonly string[];
  readonly settings?: {
    /** How the deployment serves: authentication, limits, deadlines, run recording. */
    readonly serving?: ServingSettingsInput;
    /** Settings of deployers by flavor; checked by the deployer that is used. */
    readonly deployer?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  };
  /** Wires the graph. Runs when the snapshot is made, on references and not on values. */
  readonly build: (input: Reference<z.output<Input>>) => Outputs;
}

/** A pipeline ready to run: its graph, the steps behind the graph's ids, and its schemas. */
export interface CompiledPipeline {
  readonly name: string;
  readonly description: string | undefined;
  readonly graph: Graph;
  readonly definitions: ReadonlyMap<string, StepDefinition>;
  readonly input: z.ZodObject;
  /** An object with one schema per output. */
  readonly inputSchema: JsonSchema;
  readonly outputSchema: JsonSchema;
  readonly onInit: ((context: ProcessContext) => unknown) | undefined;
  readonly onCleanup: ((state: never, context: ProcessContext) => void | Promise<void>) | undefined;
  readonly secrets: readonly string[];
  readonly settings: Required<CompiledPipelineSettings>;
}

declare const types: unique symbol;

export interface Pipeline<Parameters = unknown, Outputs = unknown> {
  readonly [BRAND]: true;
  /** Carries the types to the caller; it does not exist at run time. */
  readonly [types]?: { readonly parameters: Parameters; readonly outputs: Outputs };
  readonly name: string;
  /** Path of the module that called definePipeline, where the run time can tell. */
  readonly module: string | undefined;
  /** Runs `build` and derives the schemas. @throws MillraceError `PIPELINE_WIRING`, `PIPELINE_INVALID`, `SCHEMA_NOT_JSON`. */
  compile(): CompiledPipeline;
}

/** What an invocation of a pipeline takes. */
export type ParametersOf<P> = P extends Pipeline<infer Parameters, unknown> ? Parameters : never;
/** What an invocation of a pipeline returns, by output name. */
export type OutputsOf<P> =
  P extends Pipeline<never, infer Outputs>
    ? Outputs
    : P extends Pipeline<infer _, infer Outputs>
      ? Outputs
      : never;

type ValuesOf<Outputs> = {
  readonly [K in keyof Outputs]: Outputs[K] extends Reference<infer T, never> ? T : never;
};

/**
 * Defines a pipeline: a graph of steps with a typed input and named outputs. Export it as the module's default.
 * @throws MillraceError `PIPELINE_INVALID` when the name, a secret name or the input schema is not usable.
 */
export function definePipeline<
  Input extends z.ZodObject,
  Outputs extends Readonly<Record<string, Reference<unknown, State>>>,
  State = unknown,
>(options: PipelineOptions<Input, State, Outputs>): Pipeline<z.input<Input>, ValuesOf<Outputs>> {
  if (!isObject(options)) {
    throw invalid(
      "definePipeline was given no options.",
      "Write definePipeline({ name, input, build }).",
    );
  }
  if (typeof options.name !== "string" || !PIPELINE_NAME.test(options.name)) {
    throw invalid(
      `The pipeline name ${JSON.stringify(options.name)} is not usable.`,
      "Use 1 to 64 letters, digits, _ and -, beginning with a letter.",
    );
  }
  if (!isObjectSchema(options.input)) {
    throw invalid(
      `The input of pipeline "${options.name}" must be a z.object({…}).`,
      "Wrap the parameters in z.object.",
    );
  }
  checkOptions(options.name, options, options.settings ?? {});
  for (const secret of options.secrets ?? []) {
    if (!SECRET_NAME.test(secret)) {
      throw invalid(
        `The secret name ${JSON.stringify(secret)} is not usable.`,
        "Use letters, digits and _, as for environment variables.",
      );
    }
  }
  let compiled: CompiledPipeline | undefined;
  return {
    [BRAND]: true,
    name: options.name,
    module: callerModule(),
    compile: () => (compiled ??= compile(options)),
  };
}

const OPTIONS = [
  "name",
  "description",
  "input",
  "onInit",
  "onCleanup",
  "secrets",
  "settings",
  "build",
] as const satisfies readonly (keyof ErasedPipelineOptions)[];
const SETTINGS = [
  "serving",
  "deployer",
] as const satisfies readonly (keyof CompiledPipelineSettings)[];

function checkOptions(name: string, options: object, settings: object): void {
  const fault = unknownOption(options, OPTIONS);
  // How it serves is what people look for in the wrong place.
  const elsewhere = SETTINGS.find((key) => Object.hasOwn(options, key));
  if (fault !== undefined) {
    throw invalid(
      elsewhere === undefined
        ? `Pipeline "${name}" ${fault}`
        : `Pipeline "${name}" has no option "${elsewhere}": it belongs into \`settings\`.`,
      elsewhere === undefined
        ? "Correct or remove the option."
        : `Write settings: { ${elsewhere}: … }.`,
    );
  }
  const inSettings = unknownOption(settings, SETTINGS);
  if (inSettings === undefined) return;
  throw invalid(`settings of pipeline "${name}" ${inSettings}`, "Correct or remove the option.");
}

/** Recognises pipelines of any copy of this package. */
export function isPipeline(value: unknown): value is Pipeline {
  return typeof value === "object" && value !== null && BRAND in value;
}

/** The options without their type parameters: what is left of them once the types have done their work. */
interface ErasedPipelineOptions {
  readonly name: string;
  readonly description?: string;
  readonly input: z.ZodObject;
  readonly onInit?: (context: ProcessContext) => unknown;
  readonly onCleanup?: (state: never, context: ProcessContext) => void | Promise<void>;
  readonly secrets?: readonly string[];
  readonly settings?: CompiledPipelineSettings;
  readonly build: (input: never) => unknown;
}

type CompiledPipelineSettings = NonNullable<
  PipelineOptions<z.ZodObject, unknown, never>["settings"]
>;

function compile(options: ErasedPipelineOptions): CompiledPipeline {
  const input = options.input.strict();
  const build = new GraphBuild(options.name);
  // The proxy stands for every type of input: `build` only sees it through Reference.
  const outputs = collect(build, () =>
    options.build(makeReference({ from: "input", path: [] }) as never),
  );
  if (outputs instanceof Promise) {
    throw wiringError(
      `build of pipeline "${options.name}" is async.`,
      "Make it a plain function: it only wires references.",
    );
  }
  const { graph, definitions } = build.finish(outputs);
  checkWiring(graph, definitions, input);
  return {
    name: options.name,
    description: options.description,
    graph,
    definitions,
    input,
    inputSchema: jsonSchemaOf(input, "input", `The input of pipeline "${options.name}"`),
    outputSchema: outputSchemaOf(graph, definitions, input, options.name),
    onInit: options.onInit,
    onCleanup: options.onCleanup,
    secrets: options.secrets ?? [],
    settings: {
      serving: options.settings?.serving ?? {},
      deployer: options.settings?.deployer ?? {},
    },
  };
}

function outputSchemaOf(
  graph: Graph,
  definitions: ReadonlyMap<string, StepDefinition>,
  input: z.ZodObject,
  pipeline: string,
): JsonSchema {
  // Schemas that refer to themselves: inside another schema their references would lead elsewhere.
  const shared: Record<string, JsonSchema> = {};
  const schemaOfField = (
    name: string,
    schema: z.ZodType,
    { path }: Extract<Wire, { path: unknown }>,
    where: string,
  ): JsonSchema => {
    const document = jsonSchemaOf(schema, "output", where);
    const field = fieldSchema(document, path);
    if (!hasReference(field)) return field;
    Object.assign(shared, definitionsOf(document, name));
    return moveReferences(field, name);
  };
  const schemaOfWire = (wire: Wire, where: string): JsonSchema => {
    switch (wire.from) {
      case "value":
        return { const: wire.value };
      case "object":
        return objectSchema(wire.fields, where);
      case "array":
        return {
          type: "array",
          prefixItems: wire.items.map((item, i) => schemaOfWire(item, `${where}[${i}]`)),
        };
      case "input":
        return schemaOfField("input", input, wire, where);
      case "step": {
        const definition = definitions.get(wire.step);
        return definition === undefined
          ? {}
          : schemaOfField(`step-${wire.step}`, definition.output, wire, where);
      }
    }
  };
  /** Whether a wire has a value in every run: a step may leave out what is optional. */
  const hasValue = (wire: Wire, where: string): boolean => {
    if (wire.from !== "input" && wire.from !== "step") return true;
    const schema = wire.from === "input" ? input : definitions.get(wire.step)?.output;
    if (schema === undefined || schema._zod.optout === "optional") return false;
    return isAlwaysThere(jsonSchemaOf(schema, "output", where), wire.path);
  };
  const objectSchema = (fields: Readonly<Record<string, Wire>>, where: string): JsonSchema => ({
    type: "object",
    properties: Object.fromEntries(
      Object.entries(fields).map(([name, wire]) => [name, schemaOfWire(wire, `${where}.${name}`)]),
    ),
    required: Object.entries(fields)
      .filter(([name, wire]) => hasValue(wire, `${where}.${name}`))
      .map(([name]) => name),
  });
  const outputs = objectSchema(graph.outputs, `The output of pipeline "${pipeline}"`);
  return Object.keys(shared).length === 0 ? outputs : { ...outputs, $defs: shared };
}

function invalid(message: string, action: string): MillraceError {
  return new MillraceError({ class: "pipeline", code: "PIPELINE_INVALID", message, action });
}

/** The file of the module that called definePipeline; found from the call stack so that `deploy(pipeline)` knows what to bundle. */
function callerModule(): string | undefined {
  const site = getCallSites(3)[2];
  return site?.scriptName === "" ? undefined : site?.scriptName;
}
