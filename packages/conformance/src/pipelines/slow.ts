import { setTimeout as sleep } from "node:timers/promises";
import { instrument } from "./instrument.ts";

export default instrument({
  name: "conformance_slow",
  version: 1,
  onInit: async ({ signal }) => {
    await sleep(Number(process.env["CONFORMANCE_SLOW_MS"] ?? 1500), undefined, { signal });
  },
});
