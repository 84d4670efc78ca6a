import { createHash } from "node:crypto";
import type { Endpoint } from "./door-container.ts";
import type { DockerSettings } from "./settings.ts";

/** How many ports of a range are tried. */
const TRIES = 50;

/**
 * The configured port, and no other; else the one that the deployment had, and then some of the range, beginning at a place that
 * follows from the deployment's id.
 */
export function portsToTry(
  deploymentId: string,
  { bind, port, portRange: [from, to] }: Pick<DockerSettings, "bind" | "port" | "portRange">,
  remembered: Endpoint | null,
): readonly number[] {
  if (port !== undefined) return [port];
  const before = remembered?.bind === bind ? [remembered.port] : [];
  const size = to - from + 1;
  const start = createHash("sha256").update(deploymentId).digest().readUInt32BE(0) % size;
  const range = Array.from(
    { length: Math.min(size, TRIES) },
    (_, offset) => from + ((start + offset) % size),
  );
  return [...new Set([...before, ...range])];
}
