import type { IncomingMessage } from "node:http";
import { z } from "zod";
import type { StepEvent } from "./client.ts";

const stepEventSchema = z.object({ step: z.string(), event: z.string(), data: z.json() });
const droppedSchema = z.object({ events: z.number() });
/** A result that failed is a problem, and says which status it would have been answered with. */
const resultSchema = z.looseObject({ status: z.int().default(200) });

/** Who hears of what the steps emit. */
export interface EventListener {
  readonly onEvent: (event: StepEvent) => void;
  /** Called when the service left events out because they were not read fast enough. */
  readonly onDropped: (events: number) => void;
}

/** Whether an answer is a stream of events. A service of an older version answers as if nobody had asked for one. */
export function isEventStream({ headers }: Pick<IncomingMessage, "headers">): boolean {
  return /^text\/event-stream\b/i.test(headers["content-type"] ?? "");
}

/**
 * Passes on what the steps emit, and gives the body of the result with the status that it would have been answered with.
 * @throws Error when the stream ends before the result.
 */
export async function readEvents(
  stream: AsyncIterable<Uint8Array>,
  { onEvent, onDropped }: EventListener,
): Promise<{ readonly status: number; readonly text: string }> {
  const { createParser } = await import("eventsource-parser");
  let result: { readonly status: number; readonly text: string } | undefined;
  const parser = createParser({
    onEvent: ({ event, data }) => {
      if (event === "emit") onEvent(stepEventSchema.parse(JSON.parse(data)));
      else if (event === "dropped") onDropped(droppedSchema.parse(JSON.parse(data)).events);
      else if (event === "result")
        result = { status: resultSchema.parse(JSON.parse(data)).status, text: data };
    },
  });
  const decoder = new TextDecoder();
  for await (const chunk of stream) parser.feed(decoder.decode(chunk, { stream: true }));
  if (result === undefined) throw new Error("the connection ended before the result");
  return result;
}
