import type { ErrorSummary } from "@millrace/core";
import { z } from "zod";

/**
 * How a deployer outside and the door inside its container talk to each other: the deployer writes this file into the container
 * and sends SIGHUP, the door answers with its state as one line of its log. Both survive a restart of the container and of the
 * engine. To read a log costs the engine far less than to read a file of a container.
 */
export const ROUTE_FILE = "route.json";

/** Counts the forms of what they say. A door of another one than the deployer's is replaced. */
export const DOOR_PROTOCOL = 1;

/** A service container, by the name that the deployment's network knows it by. */
export interface Backend {
  readonly host: string;
  readonly port: number;
}

const backendSchema = z.object({ host: z.string(), port: z.int() });

/** How the newest roll-out failed. */
const failureSchema = z.object({ revision: z.string(), error: z.custom<ErrorSummary>(isSummary) });
export type Failure = z.output<typeof failureSchema>;

function isSummary(value: unknown): boolean {
  return z.looseObject({ code: z.string(), message: z.string() }).safeParse(value).success;
}

/** What the door shall do. */
export interface Route {
  /** Counts the deployer's writes, so that an answer can be told from an older one. */
  readonly sequence: number;
  /** Where new connections go; null holds them. */
  readonly target: Backend | null;
  /** A service that takes the target's place as soon as it is ready to serve the revision. */
  readonly candidate: (Backend & { readonly revision: string }) | null;
  /** Kept by the door for as long as nothing follows it. */
  readonly failure: Failure | null;
}

/** What the door does. */
const stateSchema = z.object({
  /** Of the route that it follows. */
  sequence: z.int(),
  target: backendSchema.nullable(),
  /** Null also once it has become the target. */
  candidate: z
    .object({
      host: z.string(),
      /** Why it is not ready, as far as that shows from outside; null before it was asked. */
      detail: z.string().nullable(),
    })
    .nullable(),
  failure: failureSchema.nullable(),
});
export type DoorState = z.output<typeof stateSchema>;

/** The newest state among lines that a door wrote; Node itself may have written others. */
export function readState(lines: readonly string[]): DoorState | null {
  return lines.map(stateOf).findLast((state) => state !== null) ?? null;
}

function stateOf(line: string): DoorState | null {
  try {
    return stateSchema.safeParse(JSON.parse(line)).data ?? null;
  } catch {
    return null;
  }
}
