import { z } from "zod";

/**
 * Files by which a deployer outside and the door inside its container talk to each other: the deployer writes the first one and
 * sends SIGHUP, the door answers with the second. Both survive a restart of the container and of the engine.
 */
export const ROUTE_FILE = "route.json";
export const STATE_FILE = "state.json";

/** A service container, by the name that the deployment's network knows it by. */
export interface Backend {
  readonly host: string;
  readonly port: number;
}

const backendSchema = z.object({ host: z.string(), port: z.int() });

/** What the door shall do. */
export const routeSchema = z.object({
  /** Counts the deployer's writes, so that an answer can be told from an older one. */
  sequence: z.int(),
  /** Where new connections go; null holds them. */
  target: backendSchema.nullable(),
  /** A service that takes the target's place as soon as it is ready to serve the revision. */
  candidate: backendSchema.extend({ revision: z.string() }).nullable(),
});
export type Route = z.output<typeof routeSchema>;

/** What the door does. */
export const stateSchema = z.object({
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
});
export type DoorState = z.output<typeof stateSchema>;
