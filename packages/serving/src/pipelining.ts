import { ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

/** The responses of one connection that began while an earlier one was not sent. */
interface Queue {
  /** Until they are over. */
  readonly responses: Set<ServerResponse>;
  /** The one that began last, until it is over: they are sent in order. */
  last: ServerResponse | undefined;
}

const queues = new WeakMap<Duplex, Queue>();

/**
 * To be called for a response whose turn on its connection has not come. False when that never will: the connection ends
 * with an earlier one, so that what comes after it is not to be looked at (RFC 9112, section 9.6).
 */
export function enqueue(response: ServerResponse): boolean {
  const { socket } = response.req;
  const before = lastUnsent(socket);
  if (before?.headersSent === true && !before.shouldKeepAlive) return false;
  const queue = queues.get(socket) ?? newQueue(socket);
  queue.responses.add(response);
  queue.last = response;
  response.once("close", () => {
    queue.responses.delete(response);
    if (queue.last === response) queue.last = undefined;
  });
  return true;
}

/** Of what a connection has not sent, the response that comes last. */
export function lastUnsent(socket: Duplex): ServerResponse | undefined {
  const queued = queues.get(socket)?.last;
  if (queued !== undefined) return queued;
  // The response whose turn it is. Node tells it nowhere else, and to note it for every request would cost each of them.
  const current: unknown = Reflect.get(socket, "_httpMessage");
  return current instanceof ServerResponse ? current : undefined;
}

/**
 * Ends the connection with a response whose head is not written yet. While more was asked on it that is to be answered, it
 * stays: Node would cut that off.
 */
export function endConnection(response: ServerResponse): void {
  const last = queues.get(response.req.socket)?.last;
  response.shouldKeepAlive = last !== undefined && last !== response;
}

function newQueue(socket: Duplex): Queue {
  const queue: Queue = { responses: new Set(), last: undefined };
  queues.set(socket, queue);
  // Node 22 says nothing to a response whose turn has not come when the connection closes. One listener for all of them: as
  // many as there are requests would grow without bound.
  socket.once("close", () => {
    for (const response of queue.responses) response.emit("close");
  });
  return queue;
}
