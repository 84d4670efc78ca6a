import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { openStore } from "@millrace/store";
import { expect, it } from "vitest";
import { z } from "zod";
import { weather } from "./fixture-pipelines.ts";
import { makeFixture, startService } from "./fixtures.ts";

const module = new URL("../dist/fixture-pipelines.js", import.meta.url).href;
const answered = z.object({ metadata: z.object({ run_id: z.string() }) });

/** Puts load on a service until it is killed, and returns the ids of the runs whose answers arrived. */
async function loadUntilKilled(
  url: string,
  kill: () => void,
  killAfter: number,
): Promise<string[]> {
  const ids: string[] = [];
  const client = async (): Promise<void> => {
    for (;;) {
      const response = await fetch(`${url}/invoke`, { method: "POST" });
      ids.push(answered.parse(await response.json()).metadata.run_id);
      if (ids.length === killAfter) kill();
    }
  };
  await Promise.allSettled(Array.from({ length: 16 }, client));
  return ids;
}

it("has recorded every run that it answered when it is killed under load in mode sync", async () => {
  const directory = await mkdtemp(join(tmpdir(), "millrace-crash-"));
  const file = join(directory, "store.db");
  const store = { kind: "sqlite", file, spoolDirectory: join(directory, "spool") } as const;
  const open = await openStore({ url: file });
  try {
    const project = await open.projects.ensure("default");
    const fixture = await makeFixture(weather, module, "weather", {
      serving: { tracking: { mode: "sync" } },
      store,
    });
    const config = {
      ...fixture.config,
      deployment: { ...fixture.config.deployment, projectId: project.id },
    };
    const ids: string[] = [];
    for (const killAfter of [50, 300, 900]) {
      const service = await startService(fixture, { MILLRACE_CONFIG: JSON.stringify(config) });
      ids.push(
        ...(await loadUntilKilled(service.url, () => service.process.kill("SIGKILL"), killAfter)),
      );
      await service.exited;
    }
    expect(ids.length).toBeGreaterThanOrEqual(1250);
    const missing: string[] = [];
    // What a killed process had only spooled is in the store once another process has caught up.
    const last = await startService(fixture, { MILLRACE_CONFIG: JSON.stringify(config) });
    for (let attempt = 0; attempt < 100; attempt++) {
      missing.length = 0;
      for (const id of ids) if ((await open.runs.find(project.id, id)) === null) missing.push(id);
      if (missing.length === 0) break;
      await sleep(100);
    }
    await last.stop();
    expect(missing).toEqual([]);
  } finally {
    await open.close();
  }
});
