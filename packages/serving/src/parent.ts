import { Server, type Socket } from "node:net";
import { MillraceError } from "@millrace/core";
import type { ParentMessage, WorkerMessage } from "./worker-protocol.ts";

/** The process that forked this one, as the worker protocol sees it. */
export interface Parent {
  /** The listening socket, once it has come. Rejects with `LISTEN_FAILED` when `listen` comes without one. */
  readonly socket: Promise<object>;
  send(message: WorkerMessage): Promise<void>;
  onDrain(listener: (message: Extract<ParentMessage, { type: "drain" }>) => void): void;
  onConnection(listener: (socket: Socket) => void): void;
  /** Called when the parent is gone. */
  onGone(listener: () => void): void;
}

/** The parent; undefined when this process was started without an IPC channel. */
export function findParent(): Parent | undefined {
  if (process.send === undefined) return undefined;
  const { promise: socket, resolve, reject } = Promise.withResolvers<object>();
  // It is awaited after the pipeline was started, and may fail before.
  socket.catch(() => undefined);
  process.on("message", (message, handle) => {
    if (isMessage(message) && message.type === "listen")
      if (isObject(handle)) resolve(handle);
      else reject(noSocket());
    if (isMessage(message) && message.type === "ping" && process.connected)
      process.send?.({ type: "alive" } satisfies WorkerMessage, undefined, undefined, () => {});
  });
  const gone = untilGone();
  return {
    socket,
    // A parent that is gone is noticed by its `disconnect`; nothing can be told to it any more, nor is a message on its way
    // then ever said to have arrived.
    send: (message) =>
      Promise.race([
        gone,
        new Promise<void>((done) => {
          if (process.connected) process.send?.(message, undefined, undefined, () => done());
          else done();
        }),
      ]),
    onDrain: (listener) => {
      process.on("message", (message) => {
        if (isMessage(message) && message.type === "drain") listener(message);
      });
    },
    onConnection: (listener) => {
      process.on("message", (message, handle) => {
        if (isMessage(message) && message.type === "connection" && isSocket(handle))
          listener(handle);
      });
    },
    onGone: (listener) => void gone.then(listener),
  };
}

/** The parent may have gone before this module was loaded: then nothing says so any more. */
function untilGone(): Promise<void> {
  return new Promise((resolve) => {
    process.once("disconnect", resolve);
    if (!process.connected) resolve();
  });
}

function noSocket(): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "LISTEN_FAILED",
    message: "The message `listen` came without a listening socket.",
    action:
      'Send it with the socket: child.send({ type: "listen" }, server), while the server listens.',
  });
}

function isMessage(message: unknown): message is ParentMessage {
  return isObject(message) && "type" in message && typeof message.type === "string";
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function isSocket(handle: unknown): handle is Socket {
  return isObject(handle) && !(handle instanceof Server) && "destroy" in handle;
}
