import type { CallOptions, Client } from "@millrace/control";
import type { Style } from "./style.ts";
import type { Terminal } from "./terminal.ts";

/** What commander hands over for one argument or option. */
export type Raw = string | readonly string[] | boolean | undefined;

/** One argument or option of a command. `undefined` from `read` means that it was not given. */
export interface Input<T = unknown> {
  /** `rest`: everything that is neither an argument nor a known option, as it was written. */
  readonly kind: "argument" | "option" | "rest";
  /** `<name>`, `[source]`, `--set <key=value>`, `--no-update` … */
  readonly flags: string;
  readonly description: string;
  readonly repeatable: boolean;
  readonly choices: readonly string[];
  readonly read: (raw: Raw) => T;
}

export type Inputs = Readonly<Record<string, Input>>;

type ValueOf<I> = I extends Input<infer T> ? T : never;

/** Inputs that may be missing become optional keys, so that what was not given is not there at all. */
export type ValuesOf<I extends Inputs> = {
  readonly [K in keyof I as undefined extends ValueOf<I[K]> ? never : K]: ValueOf<I[K]>;
} & {
  readonly [K in keyof I as undefined extends ValueOf<I[K]> ? K : never]?: Exclude<
    ValueOf<I[K]>,
    undefined
  >;
};

/** What a command prints when it has done its work. */
export interface Result {
  /** Printed by `--output json`. */
  readonly json: unknown;
  /** Printed for people. */
  readonly text: () => string;
  /** Default 0. */
  readonly exitCode?: number;
}

/** What a command works with. */
export interface CommandContext {
  readonly terminal: Terminal;
  /** Version of Millrace. */
  readonly version: string;
  /** Paints text for standard output. */
  readonly style: Style;
  /** Paints text for standard error. */
  readonly sideStyle: Style;
  readonly json: boolean;
  /** The `--yes` option. */
  readonly yes: boolean;
  /** Aborts when the user interrupts. */
  readonly signal: AbortSignal;
  /** Connects at the first call. */
  client(): Promise<Client>;
  /** Shows progress on standard error while the work goes on. */
  during<T>(message: string, work: (call: Required<CallOptions>) => Promise<T>): Promise<T>;
  /**
   * Shows what it is about and asks a question that `--yes` answers.
   * @throws MillraceError `CONFIRMATION_NEEDED` when nobody is there to answer.
   */
  confirm(question: string, about: string): Promise<boolean>;
  /** Tells people something beside the result, on standard error. Silent with `--quiet`. */
  tell(text: string): void;
  /** Writes a piece of a stream (logs) to standard output at once. */
  emit(text: string): void;
}

interface CommandOptions<I extends Inputs> {
  readonly name: string;
  /** One sentence without a full stop, for lists of commands. */
  readonly summary: string;
  /** Paragraphs for the command's own help. */
  readonly description?: string;
  readonly inputs: I;
  /** Command lines without the leading `millrace`. */
  readonly examples: readonly string[];
  /** Undefined when everything was written while it ran. */
  readonly run: (context: CommandContext, values: ValuesOf<I>) => Promise<Result | undefined>;
}

/** A command as the program holds it, without the types of its inputs. */
export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly description: string | undefined;
  readonly inputs: Inputs;
  readonly examples: readonly string[];
  execute(context: CommandContext, raw: ReadonlyMap<string, Raw>): Promise<Result | undefined>;
}

/** Keeps the types of the inputs together with the code that uses them. */
export function defineCommand<const I extends Inputs>(options: CommandOptions<I>): Command {
  return {
    name: options.name,
    summary: options.summary,
    description: options.description,
    inputs: options.inputs,
    examples: options.examples,
    execute: (context, raw) => options.run(context, readAll(options.inputs, raw)),
  };
}

function readAll<I extends Inputs>(inputs: I, raw: ReadonlyMap<string, Raw>): ValuesOf<I> {
  const values = Object.entries(inputs).map(
    ([key, input]) => [key, input.read(raw.get(key))] as const,
  );
  // The mapped type says of each key what its own `read` returns; Object.fromEntries cannot follow that.
  return Object.fromEntries(values.filter(([, value]) => value !== undefined)) as ValuesOf<I>;
}
