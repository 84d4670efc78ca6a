import { defineFlavor, definePlugin, exposureFaults } from "@millrace/core";
import { type LocalSettings, settingsSchema } from "./settings.ts";

const local = defineFlavor<LocalSettings>({
  name: "local",
  description: "Processes on this machine, kept up by a supervisor per deployment.",
  capabilities: {
    artefact: "bundle",
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
  check: (request) => exposureFaults("host", request.settings.host, request),
  create: async (options) => {
    const { LocalDeployer } = await import("./deployer.ts");
    return new LocalDeployer(options);
  },
});

/** Deployments as processes on this machine: flavor `local`. */
export default definePlugin({ name: "@millrace/deployer-local", flavors: [local] });

export type { LocalSettings } from "./settings.ts";
