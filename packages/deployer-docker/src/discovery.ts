import type { FoundDeployment, ResourceKey } from "@millrace/core";
import type { Engine } from "./engine.ts";
import { LABELS } from "./names.ts";

type Labels = Readonly<Record<string, string>>;

/** All deployments that the engine has something of, by the labels alone. */
export async function discoverDeployments(engine: Engine): Promise<readonly FoundDeployment[]> {
  const filters = { label: [LABELS.deployment] };
  const [containers, networks, { Volumes }] = await Promise.all([
    engine.listContainers(LABELS.deployment),
    engine.ask("list networks", () => engine.docker.listNetworks({ filters })),
    engine.ask("list volumes", () => engine.docker.listVolumes({ filters })),
  ]);
  const found = new Map<string, FoundDeployment & { readonly resources: ResourceKey[] }>();
  const note = (kind: string, name: string, labels: Labels): void => {
    const id = labels[LABELS.deployment];
    if (id === undefined) return;
    const { [LABELS.name]: called = "", [LABELS.project]: project = "" } = labels;
    const one = found.get(id) ?? { id, name: called, project, resources: [] };
    one.resources.push({ kind, name });
    found.set(id, one);
  };
  for (const { Names, Labels } of containers) note("container", Names[0]?.slice(1) ?? "", Labels);
  for (const { Name, Labels } of networks) note("network", Name, Labels ?? {});
  for (const { Name, Labels } of Volumes ?? []) note("volume", Name, Labels ?? {});
  return [...found.values()];
}
