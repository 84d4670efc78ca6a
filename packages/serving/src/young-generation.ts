import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";

/** What Node gave it at most before version 24; more saves no time here, and would be most of the process's memory. */
const LIMIT_BYTES = 16 * 1024 * 1024;
const LOOK_MS = 100;

/**
 * Keeps the heap's young generation at 16 MiB. V8 doubles it up to 128 MiB when much of it outlives a collection, as runs
 * do that wait to be recorded. Its limit is a flag of the command line, which is not ours; the factor of its growth is
 * read each time. V8 shrinks it while the service idles: then it has to be able to grow again, or each collection comes
 * early, finds more alive, and costs a third of the throughput.
 */
export function boundYoungGeneration(): void {
  let bounded = false;
  const timer = setInterval(() => {
    const size =
      getHeapSpaceStatistics().find((space) => space.space_name === "new_space")?.space_size ?? 0;
    if (bounded === size >= LIMIT_BYTES) return;
    bounded = !bounded;
    setFlagsFromString(`--semi-space-growth-factor=${bounded ? 1 : 2}`);
  }, LOOK_MS);
  timer.unref();
}
