import { setTimeout as sleep } from "node:timers/promises";
import { instrument } from "./instrument.ts";

const A_DAY_MS = 86_400_000;

export default instrument({
  name: "conformance_never_ready",
  version: 1,
  onInit: async ({ signal }) => {
    await sleep(A_DAY_MS, undefined, { signal });
  },
});
