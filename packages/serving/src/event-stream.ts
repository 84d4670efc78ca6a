import type { ServerResponse } from "node:http";
import { commonHeaders } from "./answer.ts";

export const EVENT_STREAM_TYPE = "text/event-stream";

/** What a client that does not read keeps waiting here, in bytes; further events are then left out. */
const MOST_WAITING_BYTES = 1024 * 1024;
/** Proxies cut connections on which nothing comes for some time, often a minute. */
const COMMENT_INTERVAL_MS = 15_000;

/** Whether a client asks for events: it names the type, and not only by a wildcard. */
export function wantsEvents(accept: string | undefined): boolean {
  return accept !== undefined && /(?:^|,)\s*text\/event-stream\s*(?:[;,]|$)/i.test(accept);
}

/** An answer of server-sent events (WHATWG HTML, section 9.2): what the steps of one run emit, and last its result. */
export class EventStream {
  readonly #response: ServerResponse;
  readonly #comments: NodeJS.Timeout;
  #dropped = 0;

  constructor(response: ServerResponse, requestId: string, headers: readonly string[] | undefined) {
    this.#response = response;
    response.writeHead(200, [
      ...commonHeaders(requestId, EVENT_STREAM_TYPE),
      // Some proxies hold an answer back until it is whole.
      ...["X-Accel-Buffering", "no"],
      ...(headers ?? []),
    ]);
    response.flushHeaders();
    this.#comments = setInterval(() => this.#write(":\n\n"), COMMENT_INTERVAL_MS);
    response.on("close", () => clearInterval(this.#comments));
  }

  /** @param data JSON text, which is one line. */
  send(event: string, data: string): void {
    if (this.#response.writableLength > MOST_WAITING_BYTES) this.#dropped++;
    else this.#write(message(event, data));
  }

  /** Sends the last event, and before it how many were left out. */
  end(event: string, data: string): void {
    clearInterval(this.#comments);
    if (this.#response.destroyed) return;
    if (this.#dropped > 0)
      this.#write(message("dropped", JSON.stringify({ events: this.#dropped })));
    this.#response.end(message(event, data));
  }

  #write(text: string): void {
    if (!this.#response.destroyed) this.#response.write(text);
  }
}

function message(event: string, data: string): string {
  return `event: ${event}\ndata: ${data}\n\n`;
}
