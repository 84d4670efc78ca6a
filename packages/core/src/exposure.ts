import { BlockList, isIP } from "node:net";
import { z } from "zod";
import type { DeploymentRequest } from "./deployer.ts";
import { SERVICE_CONFIG_VARIABLE } from "./service-config.ts";

/** Whether only this machine reaches an address. Names other than `localhost` are nobody's loopback. */
export function isLoopback(address: string): boolean {
  const family = isIP(address);
  if (family === 0) return address === "localhost";
  const loopback = new BlockList();
  loopback.addSubnet("127.0.0.0", 8, "ipv4");
  loopback.addAddress("::1", "ipv6");
  return loopback.check(address, family === 6 ? "ipv6" : "ipv4");
}

const keyed = z.object({ authKeyHash: z.string() });

/**
 * For a flavor's `check`: what is wrong with serving at an address that others may reach. Nothing when requests must carry a
 * key, or need not by choice.
 * @param setting Name of the setting that has the address.
 */
export function exposureFaults(
  setting: string,
  address: string,
  { environment, serving }: Pick<DeploymentRequest<unknown>, "environment" | "serving">,
): string[] {
  if (isLoopback(address) || serving.allowUnauthenticated) return [];
  const config: unknown = JSON.parse(environment[SERVICE_CONFIG_VARIABLE] ?? "null");
  if (keyed.safeParse(config).success) return [];
  return [
    `${setting} ${address} can be reached from other machines, so requests must carry a key: set \`generateAuthKey\` or \`authKey\`, or allow anybody with \`allowUnauthenticated\``,
  ];
}
