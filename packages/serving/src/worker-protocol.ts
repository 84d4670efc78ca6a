import type { ErrorSummary } from "@millrace/core";

/**
 * Messages between a worker (`runtime.js serve DIRECTORY`) and the process that forked it with an IPC channel.
 *
 * The parent owns the listening socket. It may send `listen` at once after the fork: the worker boots, runs `onInit`,
 * only then accepts connections, and says `ready`. Several workers may accept from the same socket at once. A worker
 * that is forked never opens a port of its own: PORT and HOST only tell it what its own URL is.
 */
export type ParentMessage =
  /**
   * Carries the listening socket as the message's handle: `child.send({ type: "listen" }, server)`. What is sent may be a
   * `net.Server` or the bare handle of one. A `net.Server` that listens in the parent accepts connections there too;
   * hand those over by `connection` (and make it with `pauseOnConnect: true`, else it reads the first bytes), or keep the parent from accepting by binding a bare handle
   * (`net._createServerHandle(host, port, 4)`), which accepts nothing until a worker listens on it.
   */
  | { readonly type: "listen" }
  /** Asks whether the worker's thread is free. Answered by `alive`, at any time. */
  | { readonly type: "ping" }
  /** Carries a connection that the parent accepted, as the message's handle. Allowed after `ready`. */
  | { readonly type: "connection" }
  /**
   * Stops accepting, finishes what is in flight, cleans up, exits with 0.
   */
  | {
      readonly type: "drain";
      /** Longest time for requests in flight, in seconds. Default: the setting `drainSeconds`. */
      readonly seconds?: number;
      /**
       * True (default): another worker takes the new connections. Idle keep-alive connections then stay open until their
       * next request, which is answered with `Connection: close`, or until the deadline: closing one earlier could lose
       * a request that is on its way. False: nobody will serve, so idle connections close once nothing is in flight.
       */
      readonly successor?: boolean;
    };

/** What a worker tells its parent. */
export type WorkerMessage =
  /** `onInit` is done and connections are accepted. Sent once. */
  | { readonly type: "ready"; readonly url: string }
  /** Answers a `ping`. */
  | { readonly type: "alive" }
  /** Start-up failed. The process then exits with the exit code of the error's class. */
  | { readonly type: "failed"; readonly error: ErrorSummary }
  /** The worker has accepted nothing new since `drain`, answered everything, recorded it, and is about to exit with 0. */
  | { readonly type: "drained" }
  /** Of a batch run, its only one: configuration and secrets are read, so that their folder may go. Sent once. */
  | { readonly type: "read" };
