import { MillraceError } from "@millrace/core";
import type { Engine } from "./engine.ts";
import { NODE_IS_NEEDED } from "./engine-errors.ts";
import { lastWords, lastWritten } from "./failure.ts";
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
    ...[door, service]
      .filter((one) => one?.joined === false)
      .map((one) => `the container ${one?.name} in its network`),
  ];
  return new MillraceError({
    class: "platform",
    code: "CONTAINER_MISSING",
    message: `The deployment does not serve without ${missing.join(" and ")}.`,
    action: "Provision the deployment: what is missing is made again.",
  });
}

/** A door has nothing to do that could fail, once it runs. */
export async function doorEnds(engine: Engine, name: string): Promise<MillraceError> {
  const logs = await lastWritten(engine, name);
  return new MillraceError({
    class: "platform",
    code: "DOOR_UNRESPONSIVE",
    message: `The container ${name} ends as soon as it has begun.${lastWords(logs)}`,
    action: `${NODE_IS_NEEDED} Then deploy again.`,
    details: { logs: [...(logs ?? [])] },
  });
}
