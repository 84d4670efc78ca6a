import { isLoopback, MillraceError } from "@millrace/core";
import type { DockerSettings } from "./settings.ts";

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
