import { type RunRecord, uuidv7 } from "@millrace/core";

/** A run for tests. */
export function sampleRun(over: Partial<RunRecord>): RunRecord {
  const id = over.id ?? uuidv7();
  return {
    id,
    name: `weather-${id.slice(24)}`,
    projectId: "none",
    pipelineName: "weather",
    snapshotId: `sha256:${"a".repeat(64)}`,
    deploymentId: "0190a6e2-7b3c-7d4e-8f5a-6b7c8d9e0f1a",
    status: "completed",
    startedAt: Date.now(),
    durationMs: 1.25,
    inputs: { city: "Lisbon" },
    outputs: { weather: { celsius: 17.5 } },
    steps: [
      { step: "fetch_weather", status: "completed", startMs: 0.1, durationMs: 1, attempts: 1 },
    ],
    error: null,
    ...over,
  };
}
