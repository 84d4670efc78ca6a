import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { uuidv7 } from "@millrace/core";
import { answerProblem, PROBLEM_TYPE } from "./answer.ts";
import { endConnection, enqueue, lastUnsent } from "./pipelining.ts";
import { PROBLEMS, type Problem, problemBody } from "./problem.ts";
import type { Service } from "./service.ts";

const MAX_HEADER_BYTES = 32_768;
/** Longest time in which a request's headers have to arrive, in milliseconds. */
const HEADERS_TIMEOUT_MS = 30_000;
/** How often Node looks for requests that take too long, in milliseconds. */
const TIMEOUT_CHECK_MS = 5000;
/** Longer than the 60 s after which common load balancers drop idle connections, so that they close first. */
const KEEP_ALIVE_MS = 72_000;

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** The HTTP server under the routes: bounded headers, honest answers to what is no HTTP, CORS, and draining. */
export function makeHttpServer(service: Service, handler: Handler): Server {
  const cors = makeCors(service.config.serving.corsOrigins);
  /** They were refused: what the parser finds wrong after that needs no second answer. */
  const answered = new WeakSet<Duplex>();
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      // Node would answer without a body.
      requireHostHeader: false,
    },
    (request, response) => {
      if (response.socket === null && !enqueue(response)) return;
      const problem = problemOfHead(request);
      if (problem !== undefined) {
        answered.add(request.socket);
        service.metrics.refused(problem.code);
        response.shouldKeepAlive = false;
        answerProblem(response, problem, uuidv7());
        return;
      }
      if (service.phase === "draining" || service.phase === "stopped") endConnection(response);
      if (cors?.(request, response)) return;
      handler(request, response);
    },
  );
  server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
    // Whoever asks before it sends too much is told so, and sends nothing.
    const length = Number(request.headers["content-length"] ?? 0);
    if (length <= service.config.serving.bodyLimitBytes) response.writeContinue();
    server.emit("request", request, response);
  });
  server.on("checkExpectation", (_request: IncomingMessage, response: ServerResponse) => {
    const detail = "The only expectation that is known here is 100-continue.";
    answerProblem(response, { code: "EXPECTATION_FAILED", detail }, uuidv7());
  });
  server.on("clientError", (error: ClientError, socket) => {
    if (answered.has(socket)) return;
    if (error.code === "ECONNRESET" || !socket.writable) {
      socket.destroy();
      return;
    }
    const problem = clientProblem(error);
    const last = lastUnsent(socket);
    if (last === undefined) {
      answerSocket(socket, problem);
      return;
    }
    answered.add(socket);
    // Wrong is the body of the last request, or what comes after it. What was asked before is answered first.
    if (last.req.complete || last.headersSent) {
      last.once("close", () => {
        if (socket.writable) answerSocket(socket, problem);
      });
    } else {
      last.shouldKeepAlive = false;
      answerProblem(last, problem, uuidv7());
    }
  });
  server.on("connect", (_request, socket) => answerSocket(socket, NO_PROXY));
  return server;
}

const NO_PROXY: Problem = {
  code: "METHOD_NOT_ALLOWED",
  detail: "This service is no proxy: it does not take CONNECT.",
  headers: ["Allow", "GET, HEAD, POST"],
};

/** What RFC 9112 wants to be refused and Node's parser lets through. */
function problemOfHead({ headers, httpVersion, rawHeaders }: IncomingMessage): Problem | undefined {
  const { "transfer-encoding": coding, host } = headers;
  // Section 6.1. Node takes what is chunked at last for chunked alone.
  if (coding !== undefined && coding.toLowerCase() !== "chunked") {
    const framed = coding.toLowerCase().endsWith("chunked");
    return {
      code: framed ? "TRANSFER_ENCODING_UNSUPPORTED" : "REQUEST_MALFORMED",
      detail: "The only transfer encoding that is known here is chunked.",
    };
  }
  // Section 3.2.
  if ((host === undefined && httpVersion === "1.1") || countHosts(rawHeaders) > 1) {
    return { code: "REQUEST_MALFORMED", detail: "A request has one Host header." };
  }
  return undefined;
}

function countHosts(rawHeaders: readonly string[]): number {
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i];
    if (name?.length === 4 && name.toLowerCase() === "host") count++;
  }
  return count;
}

interface ClientError extends NodeJS.ErrnoException {
  /** In the words of the parser. */
  readonly reason?: string;
}

function clientProblem({ code, reason }: ClientError): Problem {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return {
        code: "HEADERS_TOO_LARGE",
        detail: `The headers have more than ${MAX_HEADER_BYTES} bytes.`,
      };
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return { code: "REQUEST_TIMEOUT", detail: "The whole request did not arrive in time." };
    default:
      return {
        code: "REQUEST_MALFORMED",
        detail: `What arrived is no well-formed HTTP request${reason ? `: ${reason}` : ""}.`,
      };
  }
}

/** Answers where there is no response object. */
function answerSocket(socket: Duplex, problem: Problem): void {
  const requestId = uuidv7();
  const body = JSON.stringify(problemBody(problem, requestId));
  const { status, title } = PROBLEMS[problem.code];
  const [name, value] = problem.headers ?? [];
  socket.end(
    `HTTP/1.1 ${status} ${title}\r\nConnection: close\r\nX-Request-Id: ${requestId}\r\n` +
      (name === undefined ? "" : `${name}: ${value}\r\n`) +
      `Content-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    // Whoever never closes its side has no connection for that.
    () => socket.destroy(),
  );
}

/**
 * Answers pre-flight requests (then it returns true) and marks the others, for pages of the given origins.
 * Undefined when there are none.
 */
function makeCors(
  origins: readonly string[],
): ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined {
  if (origins.length === 0) return undefined;
  const allowed = new Set(origins);
  const any = allowed.has("*");
  return ({ headers, method }, response) => {
    response.setHeader("Vary", "Origin");
    const { origin } = headers;
    if (origin === undefined || !(any || allowed.has(origin))) return false;
    response.setHeader("Access-Control-Allow-Origin", any ? "*" : origin);
    response.setHeader("Access-Control-Expose-Headers", "X-Request-Id, Retry-After, traceresponse");
    if (method !== "OPTIONS" || headers["access-control-request-method"] === undefined)
      return false;
    response.setHeader("Access-Control-Allow-Methods", "GET, POST");
    response.setHeader(
      "Access-Control-Allow-Headers",
      "Authorization, Content-Type, X-Request-Id, traceparent",
    );
    response.setHeader("Access-Control-Max-Age", "600");
    response.writeHead(204).end();
    return true;
  };
}
