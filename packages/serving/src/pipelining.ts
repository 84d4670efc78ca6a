import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** By connection, the responses that began while an earlier one was not sent, in order and until they are over. */
const queues = new WeakMap<Socket, Set<ServerResponse>>();

/** To be called for a response whose turn on its connection has not come. */
export function queue(response: ServerResponse): void {
  const { socket } = response.req;
  const queued = queues.get(socket) ?? newQueue(socket);
  queued.add(response);
  response.once("close", () => queued.delete(response));
}

function newQueue(socket: Socket): Set<ServerResponse> {
  const queued = new Set<ServerResponse>();
  queues.set(socket, queued);
  // Node 22 says nothing to a response whose turn has not come when the connection closes. One listener for all of them: as
  // many as there are requests would grow without bound.
  socket.once("close", () => {
    for (const response of queued) response.emit("close");
  });
  return queued;
}
