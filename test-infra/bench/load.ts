import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";

/** The core that servers are pinned to, and the one for the load. */
export const SERVER_CORE = 0;
export const LOAD_CORE = 1;

const OPEN_LOOP = fileURLToPath(new URL("./open-loop.ts", import.meta.url));

const BODY = JSON.stringify({ parameters: { value: 20 } });

/** Makes sure that wrk is there: a load generator in C, so that the load's core is never the limit. */
export function requireWrk(): void {
  if (spawnSync("wrk", ["-v"]).error === undefined) return;
  if (process.getuid?.() === 0) {
    spawnSync("apt-get", ["update", "-qq"], { stdio: "ignore" });
    spawnSync("apt-get", ["install", "-y", "-qq", "wrk"], { stdio: "ignore" });
    if (spawnSync("wrk", ["-v"]).error === undefined) return;
  }
  throw new Error("The benchmarks need wrk. Install it, for example with: apt-get install wrk");
}

/** Runs wrk against `POST /invoke` and gives the requests per second. @throws Error when any answer was not 200. */
export function throughput(url: string, connections: number, seconds: number): number {
  const folder = mkdtempSync(join(tmpdir(), "millrace-bench-"));
  try {
    const script = join(folder, "post.lua");
    writeFileSync(
      script,
      `wrk.method = "POST"\nwrk.body = [[${BODY}]]\nwrk.headers["Content-Type"] = "application/json"\n`,
    );
    const args = [
      "-c",
      String(LOAD_CORE),
      "wrk",
      "-t1",
      `-c${connections}`,
      `-d${seconds}s`,
      "-s",
      script,
      `${url}/invoke`,
    ];
    const { stdout, stderr } = spawnSync("taskset", args, { encoding: "utf8" });
    const rate = /Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1];
    if (rate === undefined) throw new Error(`wrk failed: ${stdout}${stderr}`);
    const faults = /Non-2xx or 3xx responses: (\d+)|Socket errors: .*/.exec(stdout)?.[0];
    if (faults !== undefined) throw new Error(`wrk saw faults: ${faults}`);
    return Number(rate);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const latencySchema = z.object({ p50: z.number(), p99: z.number(), ownP99: z.number() });

/** Milliseconds; `ownP99` is the generator's own part, which is in `p50` and `p99`. */
export type Latency = z.output<typeof latencySchema>;

/** Latencies at a fixed rate of requests, counted from when each was due. @throws Error when any answer was not 200. */
export function latencyAt(
  url: string,
  connections: number,
  rate: number,
  seconds: number,
): Latency {
  const args = [`${url}/invoke`, connections, rate, seconds, BODY].map(String);
  const { status, stdout, stderr } = spawnSync(
    "taskset",
    ["-c", String(LOAD_CORE), process.execPath, OPEN_LOOP, ...args],
    { encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`The load at a fixed rate failed: ${stderr}`);
  return latencySchema.parse(JSON.parse(stdout));
}
