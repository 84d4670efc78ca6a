import { ERROR_CLASSES, MillraceError } from "@millrace/core";
import { Command as CommanderCommand, type CommanderError, Option } from "commander";
import type { Command, Input, Raw } from "./command.ts";
import { usage } from "./inputs.ts";

/** One word after `millrace`: a command, a group of commands, or both. Its module is loaded when it is used. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<CommandModule>;
}

export interface CommandModule {
  readonly command?: Command;
  readonly subcommands?: readonly Command[];
}

/** Options that every command takes. */
export interface Globals {
  readonly output?: string;
  readonly yes?: boolean;
  readonly config?: string;
  readonly home?: string;
  readonly debug?: boolean;
  readonly color: boolean;
  readonly quiet?: boolean;
}

interface ProgramOptions {
  readonly entries: readonly CommandEntry[];
  readonly version: string;
  readonly writeOut: (text: string) => void;
  readonly writeErr: (text: string) => void;
  readonly execute: (command: Command, raw: ReadonlyMap<string, Raw>) => Promise<void>;
}

/** What `plan --detailed-exit-code` ends with when a deploy has something to do. */
export const EXIT_WITH_CHANGES = 10;

/** Thrown to end parsing after help or the version was printed. */
export class Printed extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super("printed");
    this.exitCode = exitCode;
  }
}

/** The parser with its global options and one placeholder per entry, which is filled in when it is chosen. */
export function buildProgram(options: ProgramOptions): CommanderCommand {
  const program = new CommanderCommand("npx millrace")
    .description("Turns a typed pipeline into a running, recorded HTTP service.")
    .version(options.version, "-V, --version", "Print the version.")
    .option(
      "-o, --output <format>",
      "What is printed: table for people, json for programs.",
      "table",
    )
    .option("-y, --yes", "Answer every question with yes.")
    .option(
      "--config <file>",
      "The configuration file. Default: the nearest millrace.config.ts upwards.",
    )
    .option(
      "--home <folder>",
      "The state folder. Default: MILLRACE_HOME, else .millrace beside the configuration.",
    )
    .option("-q, --quiet", "Print results and errors only, no progress.")
    .option("--no-color", "Print without colours, as the variable NO_COLOR does.")
    .option("--debug", "With an error, print its stack and its causes.")
    .helpOption("-h, --help", "Print help with examples.")
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: true, subcommandTerm })
    .configureOutput({
      writeOut: options.writeOut,
      writeErr: options.writeErr,
      outputError: () => {},
    })
    .addHelpText("after", rootHelp());
  endByThrowing(program);
  const entries = new Map<CommanderCommand, CommandEntry>();
  for (const entry of options.entries)
    entries.set(addCommand(program, entry.name, entry.summary), entry);
  return program.hook("preSubcommand", async (_program, chosen) => {
    const entry = entries.get(chosen);
    if (entry !== undefined) fill(chosen, await entry.load(), program.args[1], options.execute);
  });
}

/** Every command takes options: saying so on each line leaves no room for what it does. */
function subcommandTerm(command: CommanderCommand): string {
  const names = command.registeredArguments.map(
    (argument) =>
      `${argument.required ? "<" : "["}${argument.name()}${argument.variadic ? "..." : ""}${argument.required ? ">" : "]"}`,
  );
  return [command.name(), ...names].join(" ");
}

/** `next`: the word that follows. Where it is a subcommand, the options of the command itself are none of it. */
function fill(
  target: CommanderCommand,
  module: CommandModule,
  next: string | undefined,
  execute: ProgramOptions["execute"],
): void {
  const { command: own, subcommands = [] } = module;
  if (own !== undefined && !subcommands.some(({ name }) => name === next)) {
    define(target, own, execute);
    target.hook("preSubcommand", (_target, chosen) => {
      throw usage(
        "OPTION_UNKNOWN",
        `${pathOf(chosen)} takes no options of ${pathOf(target)}.`,
        `See ${pathOf(chosen)} --help.`,
      );
    });
  }
  for (const command of subcommands) {
    define(addCommand(target, command.name, command.summary), command, execute);
  }
}

function addCommand(parent: CommanderCommand, name: string, summary: string): CommanderCommand {
  const command = parent
    .command(name)
    .summary(summary)
    .description(`${summary}.`)
    .helpCommand(false);
  endByThrowing(command);
  return command;
}

function define(
  target: CommanderCommand,
  command: Command,
  execute: ProgramOptions["execute"],
): void {
  if (command.description !== undefined)
    target.description(`${command.summary}.\n\n${command.description}`);
  const options = new Map<string, string>();
  for (const [key, input] of Object.entries(command.inputs)) {
    if (input.kind === "option") options.set(key, addOption(target, input));
    else target.argument(input.flags, input.description);
    if (input.kind === "rest") target.allowUnknownOption().allowExcessArguments();
  }
  endByThrowing(target, command.examples[0]);
  const examples = command.examples.map((example) => `  $ npx millrace ${example}`).join("\n");
  target.addHelpText("after", `\nExamples:\n${examples}`);
  target.action(() => {
    const given = target.opts<Record<string, Raw>>();
    const raw = new Map(positional(target, command));
    for (const [key, attribute] of options) raw.set(key, given[attribute]);
    return execute(command, raw);
  });
}

/** Returns the name under which commander keeps the option's value. */
function addOption(target: CommanderCommand, input: Input): string {
  const choices = input.choices.length === 0 ? "" : ` One of ${input.choices.join(", ")}.`;
  const option = new Option(input.flags, input.description + choices);
  if (input.repeatable)
    option.argParser((value: string, before: readonly string[] | undefined) => [
      ...(before ?? []),
      value,
    ]);
  target.addOption(option);
  return option.attributeName();
}

function positional(target: CommanderCommand, command: Command): [string, Raw][] {
  const inputs = Object.entries(command.inputs).filter(([, input]) => input.kind !== "option");
  const takesRest = inputs.some(([, input]) => input.kind === "rest");
  const words = [...target.args];
  return inputs.map(([key, input]) => {
    if (input.kind === "rest" || input.flags.includes("...")) return [key, words.splice(0)];
    // Before the rest, a word with a dash is the first of its words and not an argument.
    const isMissing = takesRest && words[0]?.startsWith("-") === true;
    if (isMissing && input.flags.startsWith("<")) {
      throw usage(
        "ARGUMENT_MISSING",
        `${input.flags} must come first, but ${words[0]} stands in its place.`,
        `See ${pathOf(target)} --help.`,
      );
    }
    return [key, isMissing ? undefined : words.shift()];
  });
}

function endByThrowing(command: CommanderCommand, example?: string): void {
  command.exitOverride((error) => {
    throw commandLineError(error, pathOf(command), example);
  });
}

/** `npx millrace deployment list` */
function pathOf(command: CommanderCommand): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

const CODES: Readonly<Record<string, string>> = {
  "commander.unknownCommand": "COMMAND_UNKNOWN",
  "commander.unknownOption": "OPTION_UNKNOWN",
  "commander.missingArgument": "ARGUMENT_MISSING",
  "commander.excessArguments": "ARGUMENT_EXCESS",
  "commander.optionMissingArgument": "OPTION_INVALID",
};

function commandLineError(error: CommanderError, path: string, example?: string): Error {
  if (error.exitCode === 0) return new Printed(0);
  // A group without a subcommand: its help was printed.
  if (error.code === "commander.help") return new Printed(ERROR_CLASSES.usage.exitCode);
  if (error.code === "commander.excessArguments" && path.endsWith("secret set"))
    return valueGiven();
  const [what = "", hint] = error.message.replace(/^error: /, "").split("\n");
  const form =
    error.code === "commander.excessArguments" && example !== undefined
      ? `Write for example: npx millrace ${example}. `
      : "";
  const message = `${what.charAt(0).toUpperCase()}${what.slice(1).replace(/\.$/, "")}.`;
  return new MillraceError({
    class: "usage",
    code: CODES[error.code] ?? "COMMAND_LINE",
    message,
    action: `${hint === undefined ? "" : `${hint.replace(/^\(|\)$/g, "")} `}${form}See ${path} --help.`,
    cause: error,
  });
}

/** The likeliest slip with a secret; its value must not be printed on top of that. */
function valueGiven(): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "SECRET_IN_ARGUMENT",
    message: "The value of a secret does not belong on the command line, where others can read it.",
    action:
      "Give the name alone: the value is asked for, or read from standard input (npx millrace secret set NAME < file).",
  });
}

function rootHelp(): string {
  const codes = [
    { exitCode: 0, meaning: "done" },
    {
      exitCode: EXIT_WITH_CHANGES,
      meaning: "plan --detailed-exit-code: a deploy has something to do",
    },
    ...Object.values(ERROR_CLASSES),
  ].sort((a, b) => a.exitCode - b.exitCode);
  return [
    "",
    "Examples:",
    "  $ npx millrace init weather",
    "  $ npx millrace dev pipeline.ts",
    "  $ npx millrace deploy pipeline.ts --name weather",
    "  $ npx millrace invoke weather --city Lisbon",
    "  $ npx millrace deployment list --output json",
    "",
    "Exit codes:",
    ...codes.map(({ exitCode, meaning }) => `  ${String(exitCode).padStart(3)}  ${meaning}`),
  ].join("\n");
}
