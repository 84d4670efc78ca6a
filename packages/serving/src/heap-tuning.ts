import { availableParallelism } from "node:os";
import { getHeapSpaceStatistics, getHeapStatistics, setFlagsFromString } from "node:v8";

/** What Node gave the young generation at most before version 24; more saves no time here, and is resident memory. */
const YOUNG_BYTES = 16 * 1024 * 1024;
/** A heap up to this size may treble between full collections. */
const SMALL_HEAP_BYTES = 96 * 1024 * 1024;
const LOOK_MS = 100;

/**
 * Fits V8's heap to a service: much garbage per second, and little that stays.
 *
 * The young generation stays at 16 MiB. V8 doubles it up to 128 MiB when much of it outlives a collection, as runs do that
 * wait to be recorded. Its limit is a flag of the command line, which is not ours; the factor of its growth is read each
 * time. V8 shrinks it while the service idles: then it has to be able to grow again, or each collection comes early, finds
 * more alive, and costs a third of the throughput.
 *
 * A small heap gets room: each full collection takes a core for some 30 ms, and V8 by itself begins one whenever a few MB
 * have been added. A large heap is V8's own to judge.
 *
 * On one CPU the threads that V8 shares a collection with only wait for each other.
 */
export function tuneHeap(): void {
  const growYoung = flag("semi-space-growth-factor", 2);
  const growOld = flag("heap-growing-percent", 0);
  const look = (): void => {
    growYoung(youngBytes() >= YOUNG_BYTES ? 1 : 2);
    growOld(getHeapStatistics().used_heap_size <= SMALL_HEAP_BYTES ? 200 : 0);
  };
  look();
  if (availableParallelism() === 1) setFlagsFromString("--no-parallel-scavenge");
  setInterval(look, LOOK_MS).unref();
}

function youngBytes(): number {
  return (
    getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space")?.space_size ?? 0
  );
}

/** A flag of V8 that is set when its value changes. */
function flag(name: string, value: number): (wanted: number) => void {
  let current = value;
  return (wanted) => {
    if (wanted === current) return;
    current = wanted;
    setFlagsFromString(`--${name}=${wanted}`);
  };
}
