import { openStore } from "@millrace/store";

const SHARE = 1000;

/** Fills a state folder's store with deployments and runs, so that lists can be timed at size. */
export async function fillStore(file: string, deployments: number, runs: number): Promise<void> {
  const store = await openStore({ url: file });
  try {
    const project = await store.projects.ensure("default");
    const user = await store.users.ensure("bench");
    const ids: string[] = [];
    for (let i = 0; i < deployments; i++) {
      const record = await store.deployments.create({
        projectId: project.id,
        name: `deployment-${i}`,
        userId: user.id,
        stack: "default",
        deployer: "default",
        flavor: "local",
        deployerSettings: {},
      });
      ids.push(record.id);
    }
    const start = Date.now() - runs;
    for (let from = 0; from < runs; from += SHARE) {
      await store.runs.record(
        Array.from({ length: Math.min(SHARE, runs - from) }, (_, i) => ({
          id: runId(from + i),
          name: `run-${from + i}`,
          projectId: project.id,
          pipelineName: "two_steps",
          snapshotId: `sha256:${"0".repeat(64)}`,
          deploymentId: ids[(from + i) % ids.length] ?? null,
          status: "completed" as const,
          startedAt: start + from + i,
          durationMs: 1,
          inputs: { value: i },
          outputs: { result: { value: i } },
          steps: [],
          error: null,
        })),
      );
    }
  } finally {
    await store.close();
  }
}

/** A UUIDv7-shaped id that grows with its number. */
function runId(number: number): string {
  const hex = number.toString(16).padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-${hex}`;
}
