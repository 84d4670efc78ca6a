import type { DeploymentTarget } from "@millrace/core";
import type { VolumeInspectInfo } from "dockerode";
import type { Engine } from "./engine.ts";
import { LABELS } from "./names.ts";

export function findVolume(engine: Engine, name: string): Promise<VolumeInspectInfo | null> {
  return engine.find(`look at the volume ${name}`, (options) =>
    engine.docker.getVolume(name).inspect(options),
  );
}

/** Removes the volumes of a deployment that has no containers any more: of its runs, and of containers that somebody removed. */
export async function removeVolumes(engine: Engine, { id }: DeploymentTarget): Promise<void> {
  const { Volumes } = await engine.ask("list volumes", () =>
    engine.docker.listVolumes({ filters: { label: [`${LABELS.deployment}=${id}`] } }),
  );
  for (const { Name } of Volumes ?? [])
    await engine.find(`remove the volume ${Name}`, () => engine.docker.getVolume(Name).remove());
}
