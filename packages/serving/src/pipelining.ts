import { ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

/** By connection, the responses that began while an earlier one was not sent, in order and until they are over. */
const queues = new WeakMap<Duplex, Set<ServerResponse>>();

/** To be called for a response whose turn on its connection has not come. */
export function queue(response: ServerResponse): void {
  const { socket } = response.req;
  const queued = queues.get(socket) ?? newQueue(socket);
  queued.add(response);
  response.once("close", () => queued.delete(response));
}

/** Of what a connection has not sent, the response that comes last. */
export function lastUnsent(socket: Duplex): ServerResponse | undefined {
  const queued = [...(queues.get(socket) ?? [])].at(-1);
  if (queued !== undefined) return queued;
  // The response whose turn it is. Node tells it nowhere else, and to note it for every request would cost each of them.
  const current: unknown = Reflect.get(socket, "_httpMessage");
  return current instanceof ServerResponse ? current : undefined;
}

function newQueue(socket: Duplex): Set<ServerResponse> {
  const queued = new Set<ServerResponse>();
  queues.set(socket, queued);
  // Node 22 says nothing to a response whose turn has not come when the connection closes. One listener for all of them: as
  // many as there are requests would grow without bound.
  socket.once("close", () => {
    for (const response of queued) response.emit("close");
  });
  return queued;
}
