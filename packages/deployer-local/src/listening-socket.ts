import type { ChildProcess, SendHandle } from "node:child_process";
import { createHash } from "node:crypto";
import net from "node:net";
import { MillraceError } from "@millrace/core";
import { z } from "zod";
import { portHolder } from "./port-holder.ts";
import { isErrorCode } from "./system-error.ts";

/**
 * The listening socket is made by the process that provisions, inherited by the supervisor as descriptor 3, and passed
 * on to workers. A process that opens a socket by `listen` also accepts from it; one that inherits it need not. So the
 * supervisor keeps the port without ever taking a connection, and connections that arrive while no worker is up wait in
 * the kernel instead of being refused.
 */
export const LISTENING_DESCRIPTOR = 3;

export interface ListeningSocket {
  readonly port: number;
  /** To be given to the supervisor's `stdio`. Connections that come before that are cut off. */
  readonly descriptor: number;
  close(): void;
}

/** Node offers no documented way to a socket's descriptor or from one to a handle; both are as old as `cluster`. */
const withDescriptor = z.object({ _handle: z.object({ fd: z.int().min(0) }) });
const createServerHandle = z
  .object({ _createServerHandle: z.custom<CreateServerHandle>((f) => typeof f === "function") })
  .parse(net)._createServerHandle;

type CreateServerHandle = (
  address: null,
  port: null,
  addressType: null,
  descriptor: number,
) => (SendHandle & { close(): void }) | number;

/** Listens, without a gap in which another process could take the port. Null when the port is in use. */
export function tryListen(host: string, port: number): Promise<ListeningSocket | null> {
  return new Promise((resolve, reject) => {
    const server = net.createServer((connection) => connection.destroy());
    server.once("error", (error) => {
      if (isErrorCode(error, "EADDRINUSE")) resolve(null);
      else reject(listenError(error, host, port));
    });
    server.listen({ host, port, exclusive: true, backlog: 1024 }, () => {
      const address = server.address();
      resolve({
        port: typeof address === "object" && address !== null ? address.port : port,
        descriptor: withDescriptor.parse(server)._handle.fd,
        close: () => server.close(),
      });
    });
  });
}

function listenError(cause: Error, host: string, port: number): MillraceError {
  if (isErrorCode(cause, "EACCES")) {
    return new MillraceError({
      class: "platform",
      code: "PORT_DENIED",
      message: `This user may not listen on port ${port}.`,
      action: "Choose a port above 1023 by the setting `port`.",
      cause,
    });
  }
  if (isErrorCode(cause, "EADDRNOTAVAIL", "EINVAL")) {
    return new MillraceError({
      class: "usage",
      code: "HOST_NOT_AVAILABLE",
      message: `${host} is no address of this machine.`,
      action: "Set `host` to 127.0.0.1, 0.0.0.0, or the address of one of its interfaces.",
      cause,
    });
  }
  return new MillraceError({
    class: "platform",
    code: "LISTEN_FAILED",
    message: `Cannot listen on ${host} port ${port}: ${cause.message}.`,
    action: "Set `host` and `port` to an address that is free.",
    cause,
  });
}

export interface PortRange {
  readonly host: string;
  readonly range: readonly [number, number];
  readonly deploymentId: string;
}

/**
 * Takes the first free port of the range, beginning at a place that follows from the deployment's id: so a deployment
 * is likely to get its port again even when nothing remembers it, and not to take that of another one that is stopped.
 * @throws MillraceError `PORT_RANGE_FULL`.
 */
export async function listenInRange({
  host,
  range: [from, to],
  deploymentId,
}: PortRange): Promise<ListeningSocket> {
  const size = to - from + 1;
  const start = createHash("sha256").update(deploymentId).digest().readUInt32BE() % size;
  for (let i = 0; i < size; i++) {
    const listening = await tryListen(host, from + ((start + i) % size));
    if (listening !== null) return listening;
  }
  throw new MillraceError({
    class: "platform",
    code: "PORT_RANGE_FULL",
    message: `All ports from ${from} to ${to} of ${host} are in use.`,
    action: "Widen `portRange`, or deprovision deployments that are not needed.",
  });
}

/** @param neighbour name of the deployment of this state folder that has the port, where one has it. */
export function portInUse(
  host: string,
  port: number,
  configured: boolean,
  neighbour: string | null,
): MillraceError {
  const holder = portHolder(port);
  const by =
    neighbour !== null
      ? ` by the deployment "${neighbour}"`
      : holder === null
        ? ""
        : ` by ${holder.command} (process ${holder.pid})`;
  return new MillraceError({
    class: "platform",
    code: "PORT_IN_USE",
    message: `Port ${port} of ${host}, which ${configured ? "is configured for this deployment" : "this deployment had before"}, is in use${by}.`,
    action: `${neighbour === null ? "End that process" : `Take that one out of service (npx millrace deployment deprovision ${neighbour})`}, set another \`port\`, or set \`portFallback: true\` to take another.`,
    details: {
      host,
      port,
      ...(holder === null ? {} : { holder }),
      ...(neighbour === null ? {} : { deployment: neighbour }),
    },
  });
}

export interface InheritedSocket {
  /** To be sent to workers. This process accepts nothing from it. */
  readonly handle: SendHandle;
  close(): void;
}

export function inheritedSocket(): InheritedSocket {
  const handle = createServerHandle(null, null, null, LISTENING_DESCRIPTOR);
  if (typeof handle === "number") {
    throw new Error(`descriptor ${LISTENING_DESCRIPTOR} is no listening socket (error ${handle})`);
  }
  return { handle, close: () => handle.close() };
}

export function sendSocket(child: ChildProcess, message: object, handle: SendHandle): void {
  child.send(message, handle);
}
