import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "millrace";
import { latencyAt, requireWrk, throughput } from "./load.ts";
import { type Result, round } from "./results.ts";
import { residentBytes, type Server, startBare, startDeployment } from "./servers.ts";
import { median, medianRatio } from "./statistics.ts";

export interface Scale {
  /** Interleaved rounds of each measurement. */
  readonly rounds: number;
  /** Length of one throughput measurement. */
  readonly seconds: number;
  /** Length of the full load before memory is read. */
  readonly memorySeconds: number;
}

/** Throughput, latency and memory of the three tracking modes beside the bare server, all in this run. */
export async function benchServing(client: Client, scale: Scale): Promise<Result[]> {
  requireWrk();
  const bare = await startBare();
  const untracked = await startDeployment(client, "untracked", "off");
  const tracked = await startDeployment(client, "tracked", "async");
  const synchronous = await startDeployment(client, "synchronous", "sync");
  const servers = [bare, untracked, tracked, synchronous];
  try {
    for (const { url } of servers) throughput(url, 64, 2);
    const at64 = interleave(servers, scale, 64);
    const at256 = interleave([bare, synchronous], scale, 256);
    const ratio = (
      key: string,
      server: Server,
      rates: Map<Server, number[]>,
      atLeast: number,
    ): Result => {
      const own = rates.get(server) ?? [];
      const base = rates.get(bare) ?? [];
      return {
        key,
        value: medianRatio(own, base),
        unit: "ratio",
        budget: { atLeast },
        detail: `${Math.round(median(own))} over ${Math.round(median(base))} requests per second, ${scale.rounds} rounds of ${scale.seconds} s`,
      };
    };
    return [
      ratio("throughput.off", untracked, at64, 0.8),
      ratio("throughput.async", tracked, at64, 0.65),
      ratio("throughput.sync", synchronous, at64, 0.5),
      ratio("throughput.sync256", synchronous, at256, 0.7),
      await benchLatency(bare, tracked, median(at64.get(tracked) ?? []) / 2, scale),
      await benchMemory(bare, tracked, scale),
    ];
  } finally {
    for (const server of servers) await server.stop();
  }
}

function interleave(
  servers: readonly Server[],
  scale: Scale,
  connections: number,
): Map<Server, number[]> {
  const rates = new Map<Server, number[]>(servers.map((server) => [server, []]));
  for (let round = 0; round < scale.rounds; round++) {
    for (const server of servers)
      rates.get(server)?.push(throughput(server.url, connections, scale.seconds));
  }
  return rates;
}

async function benchLatency(
  bare: Server,
  tracked: Server,
  rate: number,
  scale: Scale,
): Promise<Result> {
  const own: number[] = [];
  const base: number[] = [];
  for (let round = 0; round < scale.rounds; round++) {
    base.push(await latencyAt(bare.url, 64, rate, scale.seconds));
    own.push(await latencyAt(tracked.url, 64, rate, scale.seconds));
  }
  return {
    key: "latency.p99",
    value: medianRatio(own, base),
    unit: "ratio",
    budget: { atMost: 2 },
    detail: `${round(median(own))} over ${round(median(base))} ms at ${Math.round(rate)} requests per second`,
  };
}

const MEGABYTE = 1_000_000;

/** Full load on each in turn; the growth over the second half shows whether memory is flat. */
async function benchMemory(bare: Server, tracked: Server, scale: Scale): Promise<Result> {
  const load = async ({
    url,
    pid,
  }: Server): Promise<{ readonly loaded: number; readonly growth: number }> => {
    throughput(url, 64, Math.ceil(scale.memorySeconds / 2));
    const half = residentBytes(pid);
    throughput(url, 64, Math.ceil(scale.memorySeconds / 2));
    await sleep(500);
    const loaded = residentBytes(pid);
    return { loaded, growth: loaded / half - 1 };
  };
  const base = await load(bare);
  const own = await load(tracked);
  return {
    key: "memory.loaded",
    value: own.loaded / base.loaded,
    unit: "ratio",
    budget: { atMost: 1.7 },
    detail: `${Math.round(own.loaded / MEGABYTE)} over ${Math.round(base.loaded / MEGABYTE)} MB after ${scale.memorySeconds} s; grew ${Math.round(own.growth * 100)} % in the second half`,
  };
}
