import type { z } from "zod";
import { MillraceError } from "../errors.ts";
import { currentBuild } from "./build.ts";
import type { StepContext } from "./context.ts";
import type { CachePolicy, RetryPolicy } from "./graph.ts";
import { isObject, unknownOption } from "./known-options.ts";
import type { Reference, Wiring } from "./reference.ts";
import type { StepDefinition, StepUse } from "./step-definition.ts";

const STEP_NAME = /^[A-Za-z][A-Za-z0-9_]{0,63}$/;

/**
 * `T` with its arrays and objects readonly. A step's result is inferred as a constant, so that `{ level: "high" }` fits
 * an enum; readonly arrays then have to be welcome. What is returned is only read.
 */
type Returned<T> = T extends (...args: never) => unknown
  ? T
  : T extends readonly unknown[] | Readonly<Record<string, unknown>>
    ? { readonly [K in keyof T]: Returned<T[K]> }
    : T;

export interface StepOptions<
  Input extends z.ZodType,
  Output extends z.ZodType,
  State,
  Result extends Returned<z.input<Output>>,
> {
  /** 1 to 64 characters: letters, digits and `_`, beginning with a letter. Names the step in runs, errors and metrics. */
  readonly name: string;
  readonly description?: string;
  readonly input: Input;
  readonly output: Output;
  /**
   * The work. Annotate the second parameter as `StepContext<MyState>` to use the pipeline's state with its type;
   * `definePipeline` then checks that `onInit` provides it.
   */
  readonly run: (input: z.output<Input>, context: StepContext<State>) => Result | Promise<Result>;
  /** Repeats of a failed attempt: a number, or the policy. Default 0; delays from 100 ms, doubling, at most 10 s. */
  readonly retries?: number | Partial<RetryPolicy>;
  /** Deadline of one attempt, in seconds. Default: only the run's deadline. */
  readonly timeout?: number;
  /** Reuses the output for an equal input: true (one hour) or the policy. Default false. */
  readonly cache?: boolean | Partial<CachePolicy>;
}

/** A typed function. Called inside a pipeline's `build`, it adds itself to the graph and returns a reference to its output. */
export interface Step<Input extends z.ZodType, Output extends z.ZodType, State> {
  <Upstream = unknown>(
    input: Wiring<z.input<Input>, Upstream>,
    use?: StepUse,
  ): Reference<z.output<Output>, State & Upstream>;
  readonly definition: StepDefinition;
}

/**
 * Defines a step.
 * @throws MillraceError `STEP_INVALID` when the name or an option is out of its range.
 */
export function defineStep<
  Input extends z.ZodType,
  Output extends z.ZodType,
  const Result extends Returned<z.input<Output>>,
  State = unknown,
>(options: StepOptions<Input, Output, State, Result>): Step<Input, Output, State> {
  if (!isObject(options)) {
    throw invalid(
      "defineStep was given no options.",
      "Write defineStep({ name, input, output, run }).",
    );
  }
  const name = validName(options.name);
  checkOptions(name, options);
  const definition: StepDefinition = {
    name,
    description: options.description,
    input: options.input,
    output: options.output,
    run: options.run,
    retries: retryPolicy(options.name, options.retries),
    timeoutSeconds: positive(options.name, "timeout", options.timeout ?? null),
    cache: cachePolicy(options.name, options.cache),
  };
  const use = (input: unknown, placement: StepUse = {}): unknown =>
    currentBuild(`Step "${definition.name}"`).addStep(definition, input, placement);
  return Object.assign(use, { definition }) as Step<Input, Output, State>;
}

const OPTIONS = [
  "name",
  "description",
  "input",
  "output",
  "run",
  "retries",
  "timeout",
  "cache",
] as const satisfies readonly (keyof StepOptions<z.ZodType, z.ZodType, unknown, never>)[];

function checkOptions(step: string, options: object): void {
  const fault = unknownOption(options, OPTIONS);
  if (fault !== undefined)
    throw invalid(`Step "${step}" ${fault}`, "Correct or remove the option.");
}

function validName(name: string): string {
  if (typeof name === "string" && STEP_NAME.test(name)) return name;
  throw invalid(
    `The step name ${JSON.stringify(name)} is not usable.`,
    "Use 1 to 64 letters, digits and _, beginning with a letter.",
  );
}

function retryPolicy(step: string, option: number | Partial<RetryPolicy> | undefined): RetryPolicy {
  const given = typeof option === "number" ? { limit: option } : (option ?? {});
  const policy = { limit: 0, delayMs: 100, factor: 2, maxDelayMs: 10_000, ...given };
  if (!Number.isInteger(policy.limit) || policy.limit < 0 || policy.limit > 100) {
    throw invalid(
      `Step "${step}": retries must be a whole number from 0 to 100.`,
      "Correct the option `retries`.",
    );
  }
  if (!(policy.delayMs >= 0 && policy.factor >= 1 && policy.maxDelayMs >= policy.delayMs)) {
    throw invalid(
      `Step "${step}": the retry delays do not fit together.`,
      "delayMs must be 0 or more, factor 1 or more, and maxDelayMs at least delayMs.",
    );
  }
  return policy;
}

function cachePolicy(
  step: string,
  option: boolean | Partial<CachePolicy> | undefined,
): CachePolicy | null {
  if (option === undefined || option === false) return null;
  const policy = { ttlSeconds: 3600, ...(option === true ? {} : option) };
  positive(step, "cache.ttlSeconds", policy.ttlSeconds);
  return policy;
}

function positive(step: string, option: string, value: number | null): number | null {
  if (value === null || (Number.isFinite(value) && value > 0 && value <= 2_000_000)) return value;
  throw invalid(
    `Step "${step}": ${option} must be more than 0 and at most 2,000,000 seconds.`,
    `Correct the option \`${option}\`.`,
  );
}

function invalid(message: string, action: string): MillraceError {
  return new MillraceError({ class: "pipeline", code: "STEP_INVALID", message, action });
}
