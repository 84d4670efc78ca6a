/**
 * Measures Millrace against its budgets and prints ratios, medians of interleaved rounds. Options: `--json` for programs,
 * `--quick` for a short look, `--full` for ten minutes of load before memory is read, `--only PREFIX` for some keys.
 * Exits with 1 when a budget is not met.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { connect } from "millrace";
import { benchColdStart, benchDeploy, benchList, benchVersion } from "./commands.ts";
import { benchDocker } from "./docker.ts";
import { benchImage } from "./image.ts";
import { fillStore } from "./many-records.ts";
import { formatTable, meetsBudget, type Result } from "./results.ts";
import { benchServing, type Scale } from "./serving.ts";
import { benchUpdates } from "./update.ts";

const { values: options } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
    full: { type: "boolean", default: false },
    only: { type: "string", default: "" },
  },
});

if (process.platform !== "linux" || availableParallelism() < 2) {
  console.error(
    "The benchmarks need Linux and two cores: the server is pinned to one, the load to the other.",
  );
  process.exit(2);
}

const scale: Scale & { readonly processes: number; readonly updates: number } = options.quick
  ? { rounds: 3, seconds: 2, memorySeconds: 10, processes: 5, updates: 5 }
  : { rounds: 5, seconds: 5, memorySeconds: options.full ? 600 : 60, processes: 15, updates: 20 };

const home = mkdtempSync(join(tmpdir(), "millrace-bench-"));
const manyHome = mkdtempSync(join(tmpdir(), "millrace-bench-many-"));
const client = await connect({ home });

const wanted = (key: string): boolean => key.startsWith(options.only);

/** Each measurement with the prefix of the keys that it gives. */
const measurements: readonly (readonly [string, () => Promise<readonly Result[]>])[] = [
  ["cli.version", async () => [benchVersion(home, scale.processes)]],
  ["deploy", async () => benchDeploy(home, scale.processes)],
  ["start.cold", async () => [await benchColdStart(client, scale.processes)]],
  ["update.lost", async () => [await benchUpdates(client, scale.updates, { key: "update.lost" })]],
  [
    "cli.list",
    async () => {
      const [deployments, runs] = options.quick ? [1000, 100_000] : [10_000, 1_000_000];
      await fillStore(join(manyHome, "millrace.db"), deployments, runs);
      return [benchList(manyHome, scale.processes, `${deployments} deployments, ${runs} runs`)];
    },
  ],
  ["image", async () => benchImage(client, home, options.quick ? 3 : 7)],
  [
    "docker",
    async () =>
      benchDocker(
        home,
        options.quick
          ? { rounds: 2, updates: 3, seconds: 3 }
          : { rounds: 5, updates: 20, seconds: 15 },
      ),
  ],
  ["throughput latency memory", () => benchServing(client, scale, wanted)],
];

try {
  const results: Result[] = [];
  for (const [keys, measure] of measurements) {
    if (!keys.split(" ").some((key) => wanted(key) || options.only.startsWith(key))) continue;
    console.error(`measuring ${keys} …`);
    results.push(...(await measure()));
  }
  if (options.json) {
    console.log(
      JSON.stringify(Object.fromEntries(results.map(({ key, value }) => [key, value])), null, 2),
    );
  } else {
    console.log(formatTable(results));
  }
  process.exitCode = results.every(meetsBudget) ? 0 : 1;
} finally {
  await client.close();
  rmSync(home, { recursive: true, force: true });
  rmSync(manyHome, { recursive: true, force: true });
}
