import type { SendHandle } from "node:child_process";
import { createServer, type Server, type Socket } from "node:net";
import { MillraceError } from "@millrace/core";
import { z } from "zod";
import type { Worker } from "./worker.ts";

/**
 * A worker that is sent a net.Server accepts connections from the moment it receives it, long before it can answer them;
 * one that is sent the bare handle does not. Node offers no documented way to the handle; this one is as old as `cluster`.
 */
const withHandle = z.object({ _handle: z.custom<SendHandle>((handle) => handle != null) });

export const HOST = "127.0.0.1";
const FIRST_PORT = 8000;
const LAST_PORT = 8099;

/** The listening socket. It also accepts connections itself, and hands each one to the worker of the day. */
export class Door {
  /** The listening socket, as it can be sent to workers. */
  readonly socket: SendHandle;
  readonly #server: Server;
  readonly port: number;
  #worker: Worker | undefined;
  /** Connections that came while nothing served. */
  readonly #waiting = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    this.socket = withHandle.parse(server)._handle;
    const address = server.address();
    this.port = typeof address === "object" && address !== null ? address.port : 0;
    server.on("connection", (connection: Socket) => {
      if (this.#worker !== undefined) return this.#worker.take(connection);
      this.#waiting.add(connection);
      connection
        .on("error", () => connection.destroy())
        .on("close", () => this.#waiting.delete(connection));
    });
  }

  get url(): string {
    return `http://${HOST}:${this.port}`;
  }

  /** @throws MillraceError `PORT_IN_USE` */
  static async open(wanted: number | undefined): Promise<Door> {
    const last = wanted ?? LAST_PORT;
    for (let port = wanted ?? FIRST_PORT; port <= last; port++) {
      const server = await listen(port);
      if (server !== undefined) return new Door(server);
    }
    throw new MillraceError({
      class: "platform",
      code: "PORT_IN_USE",
      message:
        wanted === undefined
          ? `The ports ${FIRST_PORT} to ${LAST_PORT} are in use.`
          : `Port ${wanted} is in use.`,
      action: "End the process that has it, or choose another one with --port.",
    });
  }

  leadTo(worker: Worker | undefined): void {
    this.#worker = worker;
    if (worker === undefined) return;
    for (const connection of this.#waiting) worker.take(connection);
    this.#waiting.clear();
  }

  close(): void {
    for (const connection of this.#waiting) connection.destroy();
    this.#server.close();
  }
}

/** Undefined when the port is in use. */
function listen(port: number): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer({ pauseOnConnect: true });
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(undefined);
      else reject(error);
    });
    server.listen({ host: HOST, port, exclusive: true }, () => resolve(server));
  });
}
