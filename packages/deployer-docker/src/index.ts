import { defineFlavor, definePlugin, exposureFaults } from "@millrace/core";
import { type DockerSettings, settingsSchema } from "./settings.ts";

const docker = defineFlavor<DockerSettings>({
  name: "docker",
  description: "Containers of a Docker engine, behind a port that stays.",
  capabilities: {
    artefact: "image",
    logs: { tail: true, since: true, follow: true, replicas: true },
    secrets: true,
    zeroDowntime: true,
    keepsOldOnFailure: true,
    scaleToZero: false,
    trafficSplit: false,
    stableUrl: true,
    tls: false,
  },
  settings: settingsSchema,
  check: (request) => exposureFaults("bind", request.settings.bind, request),
  create: async (options) => {
    const { DockerDeployer } = await import("./deployer.ts");
    return new DockerDeployer(options);
  },
});

/** Deployments as containers of a Docker engine: flavor `docker`. */
export default definePlugin({ name: "@millrace/deployer-docker", flavors: [docker] });

export type { DockerSettings } from "./settings.ts";
