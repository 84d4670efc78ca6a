import { request as ask, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Transform } from "node:stream";

/** What goes wrong with a request. */
export type Fault =
  | {
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
    }
  /** No answer ever comes; called when the client has given up. */
  | { readonly givenUp: () => void }
  /** The connection is cut when the registry has got so many bytes of the body. */
  | { readonly cutRequestAfter: number }
  /** The connection is cut when the client has got so many bytes of the body. */
  | { readonly cutAnswerAfter: number };

export interface Passed {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Bytes of the body. */
  bytes: number;
  /** Of the answer; null until it begins. */
  status: number | null;
}

export interface FaultProxy {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  readonly passed: Passed[];
  /** Asked for every request; what it returns goes wrong. */
  fault: (request: Passed) => Fault | undefined | Promise<Fault>;
  /** Set over those of the registry's answers. */
  answerHeaders: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/** Passes bytes on, and calls back once so many have gone by. */
function counting(limit: number, passed: (bytes: number) => void, reached: () => void): Transform {
  let left = limit;
  return new Transform({
    transform(chunk: Uint8Array, _, done) {
      const part = chunk.subarray(0, left);
      left -= part.length;
      passed(part.length);
      this.push(part);
      // Later, so that what was passed on arrives.
      if (left === 0) setTimeout(reached, 50);
      else done();
    },
  });
}

/** Stands in front of a registry and makes go wrong what it is told to. */
export async function startFaultProxy(registry: string): Promise<FaultProxy> {
  const server = createServer(async (request, response) => {
    const { method = "", url = "", headers } = request;
    const passed: Passed = { method, path: url, headers, bytes: 0, status: null };
    proxy.passed.push(passed);
    const fault = await proxy.fault(passed);
    if (fault !== undefined && "status" in fault) {
      request.resume();
      passed.status = fault.status;
      response.writeHead(fault.status, fault.headers).end(fault.body);
      return;
    }
    if (fault !== undefined && "givenUp" in fault) {
      request.resume();
      response.on("close", fault.givenUp);
      return;
    }
    const cut = () => {
      outgoing.destroy();
      request.socket.destroy();
    };
    const outgoing = ask(`http://${registry}${url}`, { method, headers }, (answer) => {
      passed.status = answer.statusCode ?? 500;
      response.writeHead(answer.statusCode ?? 500, { ...answer.headers, ...proxy.answerHeaders });
      const limit = fault !== undefined && "cutAnswerAfter" in fault ? fault.cutAnswerAfter : -1;
      answer.pipe(counting(limit < 0 ? Infinity : limit, () => undefined, cut)).pipe(response);
      if (limit === 0) cut();
    });
    outgoing.on("error", () => request.socket.destroy());
    const limit =
      fault !== undefined && "cutRequestAfter" in fault ? fault.cutRequestAfter : Infinity;
    const count = (bytes: number) => {
      passed.bytes += bytes;
    };
    request.pipe(counting(limit, count, cut)).pipe(outgoing);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy: FaultProxy = {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    passed: [],
    fault: () => undefined,
    answerHeaders: {},
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return proxy;
}
