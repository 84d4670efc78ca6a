import { BlockList, isIP } from "node:net";
import { type DeploymentRequest, SERVICE_CONFIG_VARIABLE } from "@millrace/core";
import { z } from "zod";
import type { DockerSettings } from "./settings.ts";

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

const keyed = z.object({ authKeyHash: z.string() });

/** What is wrong with serving beyond the engine's machine; nothing when requests must carry a key, or need not by choice. */
export function exposureFaults({
  settings: { bind },
  serving,
  environment,
}: Pick<DeploymentRequest<DockerSettings>, "settings" | "serving" | "environment">): string[] {
  const config: unknown = JSON.parse(environment[SERVICE_CONFIG_VARIABLE] ?? "null");
  const isLoopback = loopback.check(bind, isIP(bind) === 6 ? "ipv6" : "ipv4");
  if (isLoopback || serving.allowUnauthenticated || keyed.safeParse(config).success) return [];
  return [
    `bind ${bind} can be reached from other machines, so requests must carry a key: set \`generateAuthKey\` or \`authKey\`, or allow anybody with \`allowUnauthenticated\``,
  ];
}
