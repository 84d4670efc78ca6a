import type { Engine } from "./engine.ts";

/** Removes a network; containers that are still in it, which nobody looks after any more, are taken out of it. */
export async function removeNetwork(engine: Engine, id: string): Promise<void> {
  const network = engine.docker.getNetwork(id);
  await engine.find(`remove the network ${id.slice(0, 12)}`, async () => {
    const { Containers = {} } = await network.inspect();
    for (const container of Object.keys(Containers))
      await network.disconnect({ Container: container, Force: true });
    await network.remove();
  });
}
