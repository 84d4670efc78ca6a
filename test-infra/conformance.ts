/**
 * Runs the conformance suite as it is published: `npm run conformance -- local` on a deployer of this repository,
 * `fake`, `fake-image` and `fake-registry` on the reference deployers, `wrong` on the deployers that it has to catch. Options are those of
 * `millrace-conformance`; `--json` alone writes to standard output.
 */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { judgeWrongDeployers, type Verdict } from "@millrace/conformance/wrong";

const root = fileURLToPath(new URL("..", import.meta.url));
const suite = dirname(fileURLToPath(import.meta.resolve("@millrace/conformance/package.json")));

/** Harness files by the name that follows `conformance --`. */
function harnesses(): ReadonlyMap<string, string> {
  const files = [
    ...globSync(join(suite, "dist/fake/*.conformance.js")),
    ...globSync(join(root, "packages/deployer-*/*.conformance.ts")),
  ];
  return new Map(
    files
      .sort()
      .map((file) => [basename(file).replace(/^deployer-|\.conformance\.[jt]s$/g, ""), file]),
  );
}

/** `--json` without a file means standard output. */
function withTargets(args: readonly string[]): string[] {
  return args.flatMap((arg, index) => {
    const next = args[index + 1];
    return arg === "--json" && (next === undefined || next.startsWith("--")) ? [arg, "-"] : [arg];
  });
}

/** What gives a deployer's suite a platform, by the deployer. */
const PLATFORMS: Readonly<Record<string, string>> = {
  docker: join(root, "test-infra/docker/with-engine.ts"),
  "docker-registry": join(root, "test-infra/docker/with-engine.ts"),
};

function runSuiteOn(deployer: string, harness: string, args: readonly string[]): number {
  const command = [join(suite, "bin/millrace-conformance.js"), harness, ...withTargets(args)];
  const platform = PLATFORMS[deployer];
  const words = platform === undefined ? command : [platform, process.execPath, ...command];
  const { status } = spawnSync(process.execPath, words, { stdio: "inherit" });
  return status ?? 1;
}

function line({ wrong, by, results }: Verdict): string {
  if (by !== null)
    return `✓ ${wrong.name.padEnd(28)} → ${by.clause.padEnd(9)} ${by.id}: ${firstLine(by.reason)}`;
  const said = results.map(({ id, outcome, reason }) => `${id} ${outcome} ${firstLine(reason)}`);
  return `✗ ${wrong.name.padEnd(28)} → ${wrong.clause.padEnd(9)} did not catch it: ${said.join("; ")}`;
}

function firstLine(text: string | null): string {
  return (text ?? "").split("\n")[0] ?? "";
}

async function runWrong(args: readonly string[]): Promise<number> {
  const json = args.includes("--json");
  const verdicts = await judgeWrongDeployers((verdict) => {
    if (!json) console.log(line(verdict));
  });
  const caught = verdicts.filter((verdict) => verdict.caught).length;
  if (json) {
    const rows = verdicts.map(({ wrong, caught, by }) => ({
      wrong: wrong.name,
      clause: wrong.clause,
      caught,
      check: by?.id ?? null,
      reason: by?.reason ?? null,
    }));
    console.log(JSON.stringify({ caught, of: verdicts.length, deployers: rows }, null, 2));
  } else {
    console.log(`\ncaught ${caught} of ${verdicts.length}`);
  }
  return caught === verdicts.length ? 0 : 1;
}

const [name, ...args] = process.argv.slice(2);
const known = harnesses();
const harness = known.get(name ?? "");
if (name === "wrong") {
  process.exit(await runWrong(args));
} else if (harness !== undefined) {
  process.exitCode = runSuiteOn(name ?? "", harness, args);
} else {
  console.error(
    `Usage: npm run conformance -- ${[...known.keys(), "wrong"].join("|")} [options of millrace-conformance]`,
  );
  process.exitCode = 2;
}
