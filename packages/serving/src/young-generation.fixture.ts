/** Under load, idle, and under load again: prints the young generation's size in MiB at the end of each. Needs `--expose-gc`. */
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { getHeapSpaceStatistics } from "node:v8";
import { tuneHeap } from "./heap-tuning.ts";

const LIMIT_MIB = 16;
const LONGEST_MS = 10_000;

tuneHeap();

function size(): number {
  const space = getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space");
  return (space?.space_size ?? 0) / 1024 / 1024;
}

/** Much of what it allocates outlives a collection. */
async function load(enough: () => boolean): Promise<number> {
  const waiting: object[] = [];
  const end = performance.now() + LONGEST_MS;
  while (!enough() && performance.now() < end) {
    for (let i = 0; i < 20_000; i++) waiting.push({ run: [i], name: `run ${i}` });
    waiting.splice(0, Math.max(0, waiting.length - 15_000));
    await turn();
  }
  return size();
}

/** V8 shrinks the young generation when little is allocated between collections. */
async function idle(): Promise<number> {
  const end = performance.now() + LONGEST_MS;
  while (size() >= LIMIT_MIB && performance.now() < end) {
    globalThis.gc?.();
    await sleep(50);
  }
  return size();
}

const grown = (): boolean => size() >= LIMIT_MIB;
const loaded = await load(grown);
const shrunk = await idle();
const again = await load(grown);
process.stdout.write(JSON.stringify({ loaded, shrunk, again }));
