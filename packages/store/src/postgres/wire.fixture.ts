import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/**
 * What the wire to a server does with what goes over it: `pass`; `refuse` new connections, and cut what there is; `hang`: take
 * everything and say nothing; `hold`: keep back what comes over the connections that there are until the next mode; `lose replies`: let through what is sent, and cut the connection in place of the reply to a commit.
 */
type Mode = "pass" | "refuse" | "hang" | "hold" | "lose replies";

/** A wire to a server that can be broken. */
export interface Wire {
  /** The server's URL, by way of this wire. */
  readonly url: string;
  set(mode: Mode): void;
  /** How many replies were lost. */
  readonly lost: number;
  close(): Promise<void>;
}

export async function openWire(target: string): Promise<Wire> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let mode: Mode = "pass";
  let lost = 0;
  const cutAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  const keep = (socket: Socket, other: () => Socket | undefined) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => {
      sockets.delete(socket);
      other()?.destroy();
    });
  };
  const server = createServer((client) => {
    if (mode === "refuse") return client.destroy();
    const upstream = connect(Number(port), hostname);
    let committing = false;
    keep(client, () => upstream);
    keep(upstream, () => client);
    client.on("data", (data) => {
      if (mode === "hang") return;
      committing = data.includes("commit");
      upstream.write(data);
    });
    upstream.on("data", (data) => {
      if (mode === "hang") return;
      if (mode === "lose replies" && committing) {
        lost += 1;
        client.destroy();
      } else client.write(data);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("no port");
  const url = new URL(target);
  url.port = String(address.port);
  return {
    url: url.href,
    set(next) {
      mode = next;
      if (mode === "refuse") cutAll();
      for (const socket of sockets) {
        if (mode === "hold") socket.pause();
        else socket.resume();
      }
    },
    get lost() {
      return lost;
    },
    async close() {
      cutAll();
      server.close();
      await once(server, "close");
    },
  };
}
