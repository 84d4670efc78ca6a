import { rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { EngineProject } from "./engine-project.ts";

let project: EngineProject;

beforeAll(async () => {
  project = await EngineProject.make("hunter22", { diskBytes: 600_000_000 });
});

afterAll(() => project.remove());

/** Leaves so many bytes on the engine's disk. @returns What makes room again. */
function fillDisk(left: number): () => void {
  const { data } = project.engine;
  const file = join(data, "somebody-else");
  const { bavail, bsize } = statfsSync(data);
  writeFileSync(file, Buffer.alloc(Math.max(0, bavail * bsize - left)));
  const free = () => rmSync(file, { force: true });
  onTestFinished(free);
  return free;
}

async function failsForLackOfRoom(name: string, left: number): Promise<void> {
  const makeRoom = fillDisk(left);
  const failed = await project.client.deploy(project.pipeline(name), { name }).then(
    () => expect.fail("it did not fail"),
    (error: unknown) => error,
  );
  expect(failed).toMatchObject({
    class: "platform",
    message: expect.stringContaining("no space left on device"),
    details: { failure: "DISK_FULL" },
  });
  expect(await project.everything()).toEqual([]);
  makeRoom();
}

async function serves(name: string): Promise<void> {
  const { deployment } = await project.client.deploy(project.pipeline(name), { name });
  expect(deployment.status).toBe("RUNNING");
  expect(await project.says(name)).toContain("one");
  await project.client.deployments.delete(name);
  expect(await project.everything()).toEqual([]);
}

test("an image for which there is no room is told, nothing stays, and with room the same deploy serves", async () => {
  await failsForLackOfRoom("image", 250_000);
  await serves("image");
});

test("containers for which there is no room are told, nothing stays, and with room the same deploy serves", async () => {
  await serves("container");
  // The image is there: it is the door that has no room, then the files put into it, then the service.
  for (const left of [0, 12_000, 40_000, 80_000]) await failsForLackOfRoom("container", left);
  await serves("container");
});
