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
  /** A service that shall be asked again and again whether it is ready, and for which revision. */
  candidate: backendSchema.nullable(),
});
export type Route = z.output<typeof routeSchema>;

/** What the door does. */
export const stateSchema = z.object({
  /** Of the route that it follows. */
  sequence: z.int(),
  target: backendSchema.nullable(),
  candidate: z
    .object({
      host: z.string(),
      /** Revision that the service is ready to serve; null as long as it is not ready. */
      revision: z.string().nullable(),
      /** Why it is not ready, as far as that shows from outside. */
      detail: z.string().nullable(),
    })
    .nullable(),
});
export type DoorState = z.output<typeof stateSchema>;
