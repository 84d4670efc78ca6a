import { BlockList, isIP } from "node:net";
import { defineFlavor, definePlugin } from "@millrace/core";
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
  check: ({ settings, serving }) => {
    const hasKey = serving.authKey !== undefined || serving.generateAuthKey;
    if (isLoopback(settings.host) || hasKey || serving.allowUnauthenticated) return [];
    return [
      `host ${settings.host} can be reached from other machines, so requests must carry a key: set \`generateAuthKey\` or \`authKey\`, or allow anybody with \`allowUnauthenticated\``,
    ];
  },
  create: async (options) => {
    const { LocalDeployer } = await import("./deployer.ts");
    return new LocalDeployer(options);
  },
});

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

function isLoopback(host: string): boolean {
  return loopback.check(host, isIP(host) === 6 ? "ipv6" : "ipv4");
}

/** Deployments as processes on this machine: flavor `local`. */
export default definePlugin({ name: "@millrace/deployer-local", flavors: [local] });

export type { LocalSettings } from "./settings.ts";
