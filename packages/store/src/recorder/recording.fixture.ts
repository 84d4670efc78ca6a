import { Secret } from "@millrace/core";
import { isPostgresUrl, startRecorder } from "@millrace/store";
import { sampleRun } from "./sample-run.fixture.ts";

/** Run by tests: records runs in mode sync until it is killed, and prints the id of each that was acknowledged. */
const [place = "", spoolDirectory = "", projectId = ""] = process.argv.slice(2);
const recorder = startRecorder({
  store: isPostgresUrl(place)
    ? { kind: "postgres", url: new Secret(place), spoolDirectory }
    : { kind: "sqlite", file: place, spoolDirectory },
  tracking: {
    mode: "sync",
    sampleRate: 1,
    durability: "process",
    maxPayloadBytes: 65_536,
    spoolBytes: 1 << 26,
    retentionDays: 30,
  },
  projectId,
  log: (line) => console.error(line),
});

await Promise.all(
  Array.from({ length: 16 }, async () => {
    for (;;) {
      const run = sampleRun({ projectId });
      await recorder.record(run);
      process.stdout.write(`${run.id}\n`);
    }
  }),
);
