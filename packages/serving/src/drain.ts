import type { Server as HttpServer } from "node:http";
import { Server as NetServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { MillraceError, SERVICE_END_SECONDS } from "@millrace/core";
import type { Service } from "./service.ts";

/** How often the state of a draining service is looked at, in milliseconds. */
const LOOK_MS = 20;

export interface DrainOptions {
  /** Deadline for requests in flight, in milliseconds. */
  readonly deadlineMs: number;
  /** Whether clients will find somebody else: see the worker protocol. */
  readonly successor: boolean;
}

/** Knows the open connections of a server, those included that it did not accept itself. */
export class Connections {
  readonly #open = new Set<Socket>();
  readonly #server: HttpServer;

  constructor(server: HttpServer) {
    this.#server = server;
    server.on("connection", (socket: Socket) => {
      this.#open.add(socket);
      socket.on("close", () => this.#open.delete(socket));
    });
  }

  get count(): number {
    return this.#open.size;
  }

  /** Accepts no new ones. The open ones stay: http.Server's own close would close the idle ones at once. */
  stopAccepting(): void {
    NetServer.prototype.close.call(this.#server);
  }

  closeIdle(): void {
    this.#server.closeIdleConnections();
  }

  destroyAll(): void {
    for (const socket of this.#open) socket.destroy();
  }
}

/**
 * Brings a service to its end without losing a request: it accepts nothing new, answers what comes on open connections,
 * the last of it on each with `Connection: close`, and at the deadline aborts what is left. Options may change while it goes on.
 */
export async function drain(
  service: Service,
  connections: Connections,
  options: () => DrainOptions,
): Promise<void> {
  service.phase = "draining";
  connections.stopAccepting();
  const start = performance.now();
  while (connections.count > 0 && performance.now() - start < options().deadlineMs) {
    if (!options().successor && service.invocations === 0) connections.closeIdle();
    await sleep(LOOK_MS);
  }
  service.phase = "stopped";
  service.admission.clear();
  for (const refuse of service.checks) refuse();
  for (const run of service.engine?.active ?? []) run.abort(drained());
  const end = performance.now() + SERVICE_END_SECONDS.answers * 1000;
  while (connections.count > 0 && performance.now() < end) {
    connections.closeIdle();
    await sleep(LOOK_MS);
  }
  connections.destroyAll();
}

function drained(): MillraceError {
  return new MillraceError({
    class: "aborted",
    code: "DRAINING",
    message: "The service shut down before the run had ended.",
  });
}
