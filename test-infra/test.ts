/**
 * The test command: runs every lane that this machine can run, names the others with the reason, and closes with a line
 * that counts the tests. `--only NAME,NAME` runs some lanes. In CI a required lane that cannot run is a failure.
 */
import { parseArgs } from "node:util";
import {
  commandLane,
  conformanceLane,
  engineMissing,
  type Lane,
  root,
  turboLane,
  vitestLane,
} from "./lanes/lane.ts";
import {
  closingLine,
  failureLines,
  NOTHING,
  type Outcome,
  oneFailed,
  sum,
} from "./lanes/outcome.ts";
import { postgresMissing } from "./postgres/binaries.ts";

/** What differs when images come from a registry, and that the rest works at all. */
const ABOUT_REGISTRIES = [
  ...["IMG-01", "IMG-02", "IMG-03", "IMG-04", "IMG-05", "REG-01", "REG-02", "REG-03"],
  ...["PROV-02", "FAIL-02", "LIFE-18", "LIFE-19"],
];

const lanes: readonly Lane[] = [
  commandLane("lint", "biome", "ci", "--error-on-warnings", "."),
  commandLane("types", "tsc", "-b", "tsconfig.json", "tsconfig.check.json"),
  vitestLane("repository", "test-infra/vitest.config.ts"),
  turboLane("unit", "test", "unit.json", 2),
  turboLane("integration", "test:integration", "integration.json", 2),
  vitestLane("postgres", "test-infra/postgres/vitest.config.ts", postgresMissing),
  vitestLane("docker", "test-infra/docker/vitest.config.ts", engineMissing, "engine"),
  conformanceLane("local"),
  conformanceLane("docker", engineMissing),
  conformanceLane("docker-registry", engineMissing, ABOUT_REGISTRIES),
];

const { values } = parseArgs({ options: { only: { type: "string" } } });
const names = values.only?.split(",") ?? lanes.map(({ name }) => name);
const unknown = names.filter((name) => !lanes.some((lane) => lane.name === name));
if (unknown.length > 0) {
  console.error(
    `No lane is called ${unknown.join(", ")}; there are ${lanes.map(({ name }) => name).join(", ")}.`,
  );
  process.exit(2);
}

const notRun: string[] = [];

function runLane(lane: Lane): Outcome {
  const missing = lane.missing?.();
  if (missing !== undefined) {
    notRun.push(`${lane.name}: ${missing}`);
    return lane.requiredInCi && process.env["CI"] !== undefined
      ? oneFailed(`${lane.name}: ${missing}`)
      : NOTHING;
  }
  console.log(`\n== ${lane.name}`);
  const began = performance.now();
  const outcome = lane.run();
  console.log(
    `== ${lane.name}: ${closingLine(outcome)} in ${((performance.now() - began) / 1000).toFixed(1)} s`,
  );
  const failures = outcome.failures.map((what) => `${lane.name}: ${what.replaceAll(root, "")}`);
  return { ...outcome, failures };
}

const total = sum(lanes.filter(({ name }) => names.includes(name)).map(runLane));
if (notRun.length > 0) console.log(`\nNot run on this machine:\n  ${notRun.join("\n  ")}`);
if (total.failures.length > 0) console.log(`\nFailed:\n${failureLines(total).join("\n")}`);
console.log(`\n${closingLine(total)}`);
process.exitCode = total.failures.length === 0 && total.passed > 0 ? 0 : 1;
