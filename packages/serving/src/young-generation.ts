import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";

/** What Node gave it at most before version 24; more saves no time here, and would be most of the process's memory. */
const LIMIT_BYTES = 16 * 1024 * 1024;
const LOOK_MS = 100;

/**
 * Keeps the heap's young generation at 16 MiB. V8 doubles it up to 128 MiB when much of it outlives a collection, as runs
 * do that wait to be recorded. Its limit is a flag of the command line, which is not ours; the factor of its growth is
 * read each time, and may be set while it is small.
 */
export function boundYoungGeneration(): void {
  const timer = setInterval(() => {
    const size =
      getHeapSpaceStatistics().find((space) => space.space_name === "new_space")?.space_size ?? 0;
    if (size < LIMIT_BYTES) return;
    clearInterval(timer);
    setFlagsFromString("--semi-space-growth-factor=1");
  }, LOOK_MS);
  timer.unref();
}
