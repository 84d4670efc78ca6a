/**
 * The test command: runs every lane that this machine can run, names the others with the reason, and closes with a line
 * that counts the tests. Lanes that mostly wait run side by side. `--only NAME,NAME` runs some lanes. In CI a required lane that cannot run is a failure.
 */
import { parseArgs } from "node:util";
import {
  commandLane,
  conformanceLane,
  engineMissing,
  type Lane,
  type LaneOutput,
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

/** One after the other: they build, or use both processors as it is. */
const alone: readonly Lane[] = [
  commandLane("lint", "biome", "ci", "--error-on-warnings", "."),
  commandLane("types", "tsc", "-b", "tsconfig.json", "tsconfig.check.json"),
  turboLane("unit", "test", "unit.json", 2),
  turboLane("integration", "test:integration", "integration.json", 2),
];

/** Side by side: they wait for processes and engines most of the time. */
const tracks: readonly (readonly Lane[])[] = [
  [
    vitestLane("docker", "test-infra/docker/vitest.config.ts", engineMissing, "engine"),
    conformanceLane("docker", engineMissing),
  ],
  [
    vitestLane("repository", "test-infra/vitest.config.ts"),
    vitestLane("postgres", "test-infra/postgres/vitest.config.ts", postgresMissing),
    conformanceLane("local"),
    conformanceLane("docker-registry", engineMissing, ABOUT_REGISTRIES),
  ],
];

const lanes = [...alone, ...tracks.flat()];

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

async function runLane(lane: Lane, output: LaneOutput): Promise<Outcome> {
  const missing = lane.missing?.();
  if (missing !== undefined) {
    notRun.push(`${lane.name}: ${missing}`);
    return lane.requiredInCi && process.env["CI"] !== undefined
      ? oneFailed(`${lane.name}: ${missing}`)
      : NOTHING;
  }
  const began = performance.now();
  console.log(`\n== ${lane.name}`);
  const outcome = await lane.run(output);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  const closing = `== ${lane.name}: ${closingLine(outcome)} in ${seconds} s`;
  if (output.write === undefined) console.log(closing);
  else output.write(`${closing}\n`);
  const failures = outcome.failures.map((what) => `${lane.name}: ${what.replaceAll(root, "")}`);
  return { ...outcome, failures };
}

async function runInTurn(
  track: readonly Lane[],
  run: (lane: Lane) => Promise<Outcome>,
): Promise<Outcome> {
  const outcomes: Outcome[] = [];
  for (const lane of track) outcomes.push(await run(lane));
  return sum(outcomes);
}

/** What a lane that is not alone writes is shown when it has ended, so that it stands together. */
async function runBeside(lane: Lane): Promise<Outcome> {
  const written: string[] = [];
  const outcome = await runLane(lane, { write: (text) => written.push(text) });
  console.log(`\n${written.join("")}`);
  return outcome;
}

function runAlone(lane: Lane): Promise<Outcome> {
  return runLane(lane, { write: undefined });
}

const wanted = (track: readonly Lane[]): readonly Lane[] =>
  track.filter(({ name }) => names.includes(name));
const besides = tracks.map(wanted).filter((track) => track.length > 0);
const total = sum([
  await runInTurn(wanted(alone), runAlone),
  ...(await Promise.all(
    besides.map((track) => runInTurn(track, besides.length > 1 ? runBeside : runAlone)),
  )),
]);
if (notRun.length > 0) console.log(`\nNot run on this machine:\n  ${notRun.join("\n  ")}`);
if (total.failures.length > 0) console.log(`\nFailed:\n${failureLines(total).join("\n")}`);
console.log(`\n${closingLine(total)}`);
process.exitCode = total.failures.length === 0 && total.passed > 0 ? 0 : 1;
