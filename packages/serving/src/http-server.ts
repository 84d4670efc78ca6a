import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { uuidv7 } from "@millrace/engine";
import { answerProblem, PROBLEM_TYPE } from "./answer.ts";
import { PROBLEMS, type Problem, problemBody } from "./problem.ts";
import type { Service } from "./service.ts";

const MAX_HEADER_BYTES = 32_768;
/** Longest time in which a request's headers have to arrive, in milliseconds. */
const HEADERS_TIMEOUT_MS = 30_000;
/** Longer than the 60 s after which common load balancers drop idle connections, so that they close first. */
const KEEP_ALIVE_MS = 72_000;

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** The HTTP server under the routes: bounded headers, honest answers to what is no HTTP, CORS, and draining. */
export function makeHttpServer(service: Service, handler: Handler): Server {
  const cors = makeCors(service.config.serving.corsOrigins);
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      // Node would answer without a body; HTTP/1.1 clients without a Host header do us no harm.
      requireHostHeader: false,
    },
    (request, response) => {
      if (service.phase === "draining" || service.phase === "stopped")
        response.shouldKeepAlive = false;
      if (cors?.(request, response)) return;
      handler(request, response);
    },
  );
  server.on("checkExpectation", (_request: IncomingMessage, response: ServerResponse) => {
    const detail = "The only expectation that is known here is 100-continue.";
    answerProblem(response, { code: "EXPECTATION_FAILED", detail }, uuidv7());
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => refuseClient(error, socket));
  return server;
}

function clientProblem(code: string | undefined): Problem {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return {
        code: "HEADERS_TOO_LARGE",
        detail: `The headers have more than ${MAX_HEADER_BYTES} bytes.`,
      };
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return { code: "REQUEST_TIMEOUT", detail: "The whole request did not arrive in time." };
    default:
      return { code: "REQUEST_MALFORMED", detail: "What arrived is no well-formed HTTP request." };
  }
}

/** Answers what the parser refused; there is no response object for it. */
function refuseClient(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const requestId = uuidv7();
  const problem = clientProblem(error.code);
  const body = JSON.stringify(problemBody(problem, requestId));
  const { status, title } = PROBLEMS[problem.code];
  socket.end(
    `HTTP/1.1 ${status} ${title}\r\nConnection: close\r\nX-Request-Id: ${requestId}\r\n` +
      `Content-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
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
