import { spawn, spawnSync } from "node:child_process";
import { existsSync, globSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type ConformanceReport,
  countConformance,
  countReport,
  ONE_PASSED,
  type Outcome,
  oneFailed,
  sum,
  type VitestReport,
} from "./outcome.ts";

export const root = fileURLToPath(new URL("../../", import.meta.url));

/** One part of the test command. */
export interface Lane {
  readonly name: string;
  /** Why this machine cannot run it; undefined when it can. */
  readonly missing?: () => string | undefined;
  /** CI fails when the lane cannot run there. */
  readonly requiredInCi: boolean;
  readonly run: (output: LaneOutput) => Promise<Outcome>;
}

/** Where the commands of a lane write. */
export interface LaneOutput {
  /** Undefined for this process's own. */
  readonly write: ((text: string) => void) | undefined;
}

/** Why this machine has no Docker engine or registry; undefined when it has them, or can have them installed. */
export function engineMissing(): string | undefined {
  const { status, stdout } = spawnSync("node", [...WITH_ENGINE, "--check"], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  return status === 0 ? undefined : stdout.trim();
}

const WITH_ENGINE = ["test-infra/docker/with-engine.ts"];

/** What a command is given beside what every one gets. */
type Needs = "engine" | undefined;

/** Runs a command to its end; true when it succeeded. */
function execute(
  { write }: LaneOutput,
  program: string,
  words: readonly string[],
  needs?: Needs,
): Promise<boolean> {
  const [command, args] =
    needs === "engine" ? ["node", [...WITH_ENGINE, program, ...words]] : [program, words];
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: write === undefined ? "inherit" : "pipe",
    });
    child.stdin?.end();
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding("utf8").on("data", (text: string) => write?.(text));
    child.on("error", (error) => {
      console.error(`${command} could not be started: ${error.message}`);
      resolve(false);
    });
    child.on("close", (code) => resolve(code === 0));
  });
}

/** A lane whose command passes or fails as a whole. */
export function commandLane(name: string, command: string, ...args: readonly string[]): Lane {
  return {
    name,
    requiredInCi: true,
    run: async (output) =>
      (await execute(output, command, args)) ? ONE_PASSED : oneFailed(`${name}: see its output`),
  };
}

function readReport(file: string): Outcome {
  if (!existsSync(file)) return oneFailed(`${file}: no report was written; see the output`);
  // vitest wrote it.
  return countReport(JSON.parse(readFileSync(file, "utf8")) as VitestReport);
}

/** Runs a task of the packages by turbo and counts the reports; a package without a report failed. */
export function turboLane(name: string, task: string, report: string, concurrency: number): Lane {
  return {
    name,
    requiredInCi: true,
    run: async (output) => {
      const packages = globSync("packages/*/package.json", { cwd: root })
        .filter((file) => readFileSync(join(root, file), "utf8").includes(`"${task}":`))
        .map((file) => join(root, file, ".."));
      const reports = packages.map((folder) => join(folder, "test-results", report));
      for (const file of reports) rmSync(file, { force: true });
      const ok = await execute(output, "turbo", [
        "run",
        task,
        `--concurrency=${concurrency}`,
        "--continue",
        "--output-logs=errors-only",
        "--ui=stream",
      ]);
      const outcome = sum(reports.map(readReport));
      return ok || outcome.failures.length > 0
        ? outcome
        : sum([outcome, oneFailed(`turbo run ${task}: see its output`)]);
    },
  };
}

/** Runs vitest with a configuration that is not a package's. */
export function vitestLane(
  name: string,
  config: string,
  missing?: Lane["missing"],
  needs?: Needs,
): Lane {
  const report = join(root, "test-results", `${name}.json`);
  return {
    name,
    ...(missing === undefined ? {} : { missing }),
    requiredInCi: true,
    run: async (output) => {
      rmSync(report, { force: true });
      const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
      await execute(output, "vitest", ["run", "--config", config, ...reporters], needs);
      return readReport(report);
    },
  };
}

/**
 * Runs the published suite on a deployer of the repository.
 * @param only Clauses; default all.
 */
export function conformanceLane(
  deployer: string,
  missing?: Lane["missing"],
  only: readonly string[] = [],
): Lane {
  const name = `conformance-${deployer}`;
  const report = join(root, "test-results", `${name}.json`);
  return {
    name,
    ...(missing === undefined ? {} : { missing }),
    requiredInCi: true,
    run: async (output) => {
      rmSync(report, { force: true });
      mkdirSync(dirname(report), { recursive: true });
      const selection = only.length === 0 ? [] : ["--only", only.join(",")];
      const words = ["test-infra/conformance.ts", deployer, "--json", report, ...selection];
      await execute(output, "node", words);
      if (!existsSync(report)) return oneFailed(`${name}: no report was written; see the output`);
      // The suite wrote it.
      return countConformance(JSON.parse(readFileSync(report, "utf8")) as ConformanceReport);
    },
  };
}
