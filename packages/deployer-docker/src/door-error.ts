import { MillraceError } from "@millrace/core";
import type { Names } from "./names.ts";
import type { Sight } from "./sight.ts";

/** What is missing of a deployment that does not serve although no container of it failed. */
export function doorGone(
  names: Names,
  { door, network, service }: Pick<Sight, "door" | "network" | "service">,
): MillraceError {
  const missing = [
    ...(network === null ? [`the network ${names.network}`] : []),
    ...(door === null
      ? [`the container ${names.door}`]
      : door.status === "running"
        ? []
        : [`the container ${names.door} (it is ${door.status})`]),
    ...(service === null ? [`the container ${names.service}`] : []),
  ];
  return new MillraceError({
    class: "platform",
    code: "CONTAINER_MISSING",
    message: `The deployment does not serve without ${missing.join(" and ")}.`,
    action: "Provision the deployment: what is missing is made again.",
  });
}
