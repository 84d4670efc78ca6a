import { BlockList, isIP } from "node:net";
import { type DeploymentRequest, MillraceError, SERVICE_CONFIG_VARIABLE } from "@millrace/core";
import { z } from "zod";
import type { DockerSettings } from "./settings.ts";

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

function isLoopback(address: string): boolean {
  return loopback.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
}

const keyed = z.object({ authKeyHash: z.string() });

/** What is wrong with serving beyond the engine's machine; nothing when requests must carry a key, or need not by choice. */
export function exposureFaults({
  settings: { bind },
  serving,
  environment,
}: Pick<DeploymentRequest<DockerSettings>, "settings" | "serving" | "environment">): string[] {
  const config: unknown = JSON.parse(environment[SERVICE_CONFIG_VARIABLE] ?? "null");
  if (isLoopback(bind) || serving.allowUnauthenticated || keyed.safeParse(config).success)
    return [];
  return [
    `bind ${bind} can be reached from other machines, so requests must carry a key: set \`generateAuthKey\` or \`authKey\`, or allow anybody with \`allowUnauthenticated\``,
  ];
}

/**
 * A port on loopback of another machine is of no use here.
 * @param engineHost The machine that the engine is on; null for this one.
 * @throws MillraceError BIND_UNREACHABLE
 */
export function mustBeReachable(engineHost: string | null, { bind }: Pick<DockerSettings, "bind">) {
  const isHere = engineHost === null || engineHost === "localhost" || isLoopback(engineHost);
  if (isHere || !isLoopback(bind)) return;
  throw new MillraceError({
    class: "usage",
    code: "BIND_UNREACHABLE",
    message: `The Docker engine is on ${engineHost}, and a port on ${bind} there cannot be reached from here.`,
    action: `Set \`bind\` to 0.0.0.0 or to an address of ${engineHost}.`,
  });
}
