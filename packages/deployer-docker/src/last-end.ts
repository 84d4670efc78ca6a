import { text } from "node:stream/consumers";
import { z } from "zod";
import type { Engine } from "./engine.ts";
import { howItEnded } from "./failure.ts";
import type { Service } from "./sight.ts";

/** How far back the engine is asked, in seconds; it keeps its last few hundred events. */
const BACK_SECONDS = 3600;

const eventSchema = z.object({
  Action: z.string(),
  Actor: z.object({ Attributes: z.object({ exitCode: z.string().optional() }) }),
});

/**
 * How a container that runs again ended before; null where the engine does not know that any more. It keeps that in its events
 * alone: what it says of the container is about the run that goes on.
 */
export async function lastEnd(engine: Engine, service: Service): Promise<string | null> {
  // By the engine's clock: it would wait for a moment that has not come.
  const until = Date.parse(service.startedAt) / 1000;
  const said = await engine.ask("tell its events", async ({ abortSignal }) =>
    text(
      await engine.docker.getEvents({
        abortSignal,
        since: until - BACK_SECONDS,
        until,
        filters: { container: [service.id], event: ["die", "oom"] },
      }),
    ),
  );
  const events = said
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => eventSchema.parse(JSON.parse(line)));
  const end = events.findLastIndex(({ Action }) => Action === "die");
  const died = events[end];
  if (died === undefined) return null;
  const exitCode = Number(died.Actor.Attributes.exitCode ?? 0);
  const outOfMemory = events[end - 1]?.Action === "oom";
  return howItEnded({ ...service, status: "exited", exitCode, outOfMemory, restarts: 0 }).message;
}
