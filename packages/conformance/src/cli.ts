import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { isMillraceError, MillraceError, messageOf } from "@millrace/core";
import { checks } from "./checks/index.ts";
import { CLAUSE_IDS } from "./clauses.ts";
import { type ExpectedFailures, readExpectedFailures } from "./expected-failures.ts";
import { loadHarness } from "./harness.ts";
import { closingLine, consoleLine, summarize, toJson, toJunit, toMarkdown } from "./report.ts";
import { runSuite, selectChecks } from "./run.ts";

const USAGE = `Usage: millrace-conformance HARNESS [options]

Runs the conformance suite on the deployer of a harness file (.ts or .js).

  --only ID…                   only these checks or clauses; may be given again, or separated by commas
  --json FILE                  writes the report as JSON; - means standard output
  --junit FILE                 writes the report in JUnit's form
  --markdown FILE              writes the report as Markdown
  --expected-failures FILE     checks that are known to fail: {"check-id": "why"}
  --list                       lists the checks and runs none
  --help                       shows this

Exit codes: 0 all passed, 1 something failed or the run was interrupted, 2 the call or the harness is wrong.
`;

const OPTIONS = {
  only: { type: "string", multiple: true },
  json: { type: "string" },
  junit: { type: "string" },
  markdown: { type: "string" },
  "expected-failures": { type: "string" },
  list: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

const FORMATS = { json: toJson, junit: toJunit, markdown: toMarkdown } as const;
type Format = keyof typeof FORMATS;

/** The command. Returns the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    return await run(args);
  } catch (error) {
    if (!isMillraceError(error)) throw error;
    await write(process.stderr, `${error.message}\n${error.action ?? ""}\n`);
    return error.class === "usage" ? 2 : 1;
  }
}

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseCall(args);
  if (values.help === true) {
    await write(process.stdout, USAGE);
    return 0;
  }
  const only = selection(values.only ?? []);
  if (values.list === true) {
    const lines = selectChecks(only).map(
      ({ clause, id, title }) => `${clause.padEnd(9)}${id.padEnd(30)}${title}\n`,
    );
    await write(process.stdout, lines.join(""));
    return 0;
  }
  const [file, ...more] = positionals;
  if (file === undefined || more.length > 0) throw usage("Name one harness file");
  const harness = await loadHarness(resolve(file));
  const expected = await expectedFailures(values["expected-failures"]);
  const formats = (["json", "junit", "markdown"] as const).flatMap((format): [Format, string][] => {
    const target = values[format];
    return target === undefined ? [] : [[format, target]];
  });
  // What is for programs stands alone on standard output.
  const people = formats.some(([, target]) => target === "-") ? process.stderr : process.stdout;
  people.write(`Conformance of ${harness.name}\n`);
  const interrupt = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => interrupt.abort(new Error(`${signal} ended the run`)));
  const report = await runSuite(harness, {
    only,
    signal: interrupt.signal,
    onResult: (result) => people.write(`${consoleLine(result, expected)}\n`),
  });
  const summary = summarize(report, expected);
  await write(people, `\n${closingLine(summary)}\n`);
  for (const [format, target] of formats) await save(FORMATS[format](report, expected), target);
  return !interrupt.signal.aborted && summary.failed === 0 && summary.passed > 0 ? 0 : 1;
}

function parseCall(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw usage(messageOf(error));
  }
}

function selection(given: readonly string[]): readonly string[] {
  const ids = given.flatMap((text) => text.split(",")).filter((id) => id !== "");
  const unknown = ids.filter(
    (id) => !CLAUSE_IDS.has(id) && !checks.some((check) => check.id === id),
  );
  if (unknown.length > 0) throw usage(`No check or clause is called ${unknown.join(", ")}`);
  return ids;
}

async function expectedFailures(path: string | undefined): Promise<ExpectedFailures> {
  return path === undefined ? {} : readExpectedFailures(path);
}

async function save(text: string, target: string): Promise<void> {
  if (target === "-") await write(process.stdout, text);
  else await writeFile(target, text);
}

function write(stream: NodeJS.WriteStream, text: string): Promise<void> {
  return new Promise((done, fail) => {
    stream.write(text, (error) => (error ? fail(error) : done()));
  });
}

function usage(message: string): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "USAGE",
    message: `${message}.`,
    action: "`millrace-conformance --help` shows how it is called, `--list` the ids of all checks.",
  });
}
