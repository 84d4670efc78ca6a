import type { z } from "zod";
import type { StepContext } from "./context.ts";
import type { CachePolicy, RetryPolicy } from "./graph.ts";
import type { Reference } from "./reference.ts";

export interface StepUse {
  /** Id of this use in the graph. Default: the step's name, numbered when used again. */
  readonly id?: string;
  /** Steps that must finish first although no data flows from them. */
  readonly after?: readonly Reference<unknown, never>[];
}

/** The parts of a step that the engine runs. */
export interface StepDefinition {
  readonly name: string;
  readonly description: string | undefined;
  readonly input: z.ZodType;
  readonly output: z.ZodType;
  readonly run: (input: never, context: StepContext<never>) => unknown;
  readonly retries: RetryPolicy;
  readonly timeoutSeconds: number | null;
  readonly cache: CachePolicy | null;
}
