import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "millrace";
import { type Latency, latencyAt, requireWrk, throughput } from "./load.ts";
import { type Result, round } from "./results.ts";
import { onServerCore, residentBytes, type Server, startBare, startDeployment } from "./servers.ts";
import { median, medianRatio } from "./statistics.ts";

export interface Scale {
  /** Interleaved rounds of each measurement. */
  readonly rounds: number;
  /** Length of one throughput measurement. */
  readonly seconds: number;
  /** Length of the full load before memory is read. */
  readonly memorySeconds: number;
}

/** Throughput, latency and memory of the three tracking modes beside the bare server, all in this run: the keys that are wanted. */
export async function benchServing(
  client: Client,
  scale: Scale,
  wanted: (key: string) => boolean,
): Promise<Result[]> {
  requireWrk();
  const servers = await onServerCore(
    async () =>
      [
        await startBare(),
        await startDeployment(client, "untracked", "off"),
        await startDeployment(client, "tracked", "async"),
        await startDeployment(client, "synchronous", "sync"),
      ] as const,
  );
  const [bare, untracked, tracked, synchronous] = servers;
  try {
    for (const { url } of servers) throughput(url, 64, 2);
    const results: Result[] = [];
    const rows = [
      { key: "throughput.off", server: untracked, connections: 64, atLeast: 0.8 },
      { key: "throughput.async", server: tracked, connections: 64, atLeast: 0.65 },
      { key: "throughput.sync", server: synchronous, connections: 64, atLeast: 0.5 },
      { key: "throughput.sync256", server: synchronous, connections: 256, atLeast: 0.7 },
    ].filter(({ key }) => wanted(key));
    for (const connections of [64, 256]) {
      const here = rows.filter((row) => row.connections === connections);
      if (here.length === 0) continue;
      const rates = interleave([bare, ...here.map(({ server }) => server)], scale, connections);
      const base = rates.get(bare) ?? [];
      for (const { key, server, atLeast } of here) {
        const own = rates.get(server) ?? [];
        results.push({
          key,
          value: medianRatio(own, base),
          unit: "ratio",
          budget: { atLeast },
          detail: `${Math.round(median(own))} over ${Math.round(median(base))} requests per second, ${scale.rounds} rounds of ${scale.seconds} s`,
        });
      }
    }
    if (wanted("latency.p99")) results.push(benchLatency(bare, tracked, scale));
    if (wanted("memory.loaded")) results.push(await benchMemory(bare, tracked, scale));
    return results;
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

/** Both get the same rate, half of the most that the deployment takes. */
function benchLatency(bare: Server, tracked: Server, scale: Scale): Result {
  const most = interleave([tracked], scale, 64).get(tracked) ?? [];
  const rate = Math.round(median(most) / 2);
  const own: Latency[] = [];
  const base: Latency[] = [];
  for (let round = 0; round < scale.rounds; round++) {
    base.push(latencyAt(bare.url, 64, rate, scale.seconds));
    own.push(latencyAt(tracked.url, 64, rate, scale.seconds));
  }
  const p99 = (of: readonly Latency[]): number[] => of.map((latency) => latency.p99);
  const middle = (of: readonly Latency[], value: keyof Latency): number =>
    round(median(of.map((latency) => latency[value])));
  return {
    key: "latency.p99",
    value: medianRatio(p99(own), p99(base)),
    unit: "ratio",
    budget: { atMost: 2 },
    detail: `${middle(own, "p99")} over ${middle(base, "p99")} ms at ${rate} requests per second; medians ${middle(own, "p50")} and ${middle(base, "p50")}; of p99 the generator's own ${middle(own, "ownP99")} and ${middle(base, "ownP99")}`,
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
