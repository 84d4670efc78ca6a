import { summarizeError, uuidv7 } from "@millrace/core";
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from "fastify";
import { answer, answerProblem, JSON_TYPE } from "./answer.ts";
import { CHALLENGES, makeAuthentication } from "./authentication.ts";
import { docsHeaders, docsPage } from "./docs-page.ts";
import { makeHttpServer } from "./http-server.ts";
import { makeInvoke, refuse } from "./invoke.ts";
import { readJsonBody } from "./json-body.ts";
import { openApi } from "./openapi.ts";
import { type Problem, problemOf } from "./problem.ts";
import { type Path, ROUTES } from "./route-table.ts";
import type { Service } from "./service.ts";
import { usableRequestId } from "./trace.ts";

type Handler = (request: FastifyRequest, reply: FastifyReply) => void;

/** Makes the HTTP interface of a service. Its server listens where the caller lets it. */
export async function makeRoutes(service: Service): Promise<FastifyInstance> {
  const { serving, authKeyHash } = service.config;
  const app = fastify({
    bodyLimit: serving.bodyLimitBytes,
    genReqId: (request) => usableRequestId(request.headers["x-request-id"]) ?? uuidv7(),
    // The server answers what is no HTTP. Fastify's own listener would cut the connection before that is sent.
    clientErrorHandler: () => undefined,
    serverFactory: (handler) => makeHttpServer(service, handler),
    frameworkErrors: (error, request, reply) => fail(service, error, request, reply),
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    "application/json",
    { parseAs: "buffer" },
    (request, bytes: Buffer, done) => done(null, readJsonBody(request.headers, bytes)),
  );
  app.setErrorHandler((error, request, reply) => {
    // Where nothing takes a body, what is wrong with this one does not matter.
    if (request.is404) notFound(service, request, reply);
    else fail(service, error, request, reply);
  });
  app.setNotFoundHandler((request, reply) => notFound(service, request, reply));
  const handlers = makeHandlers(service);
  const allows = authKeyHash === null ? () => true : makeAuthentication(authKeyHash);
  const authenticate = (request: FastifyRequest, reply: FastifyReply, done: () => void): void => {
    if (allows(request.raw.headers.authorization)) done();
    else unauthenticated(service, request, reply);
  };
  for (const { method, path, key } of ROUTES) {
    app.route({
      method,
      url: path,
      handler: handlers[path],
      ...(key && authKeyHash !== null ? { onRequest: authenticate } : {}),
    });
  }
  await app.ready();
  return app;
}

function makeHandlers(service: Service): Readonly<Record<Path, Handler>> {
  const document = lazily(() => JSON.stringify(openApi(service)));
  return {
    "/invoke": makeInvoke(service),
    "/health": (request, reply) => health(service, request, reply),
    "/health/live": (request, reply) => {
      answer(reply.raw, 200, JSON_TYPE, healthBody(service, "ok"), request.id);
    },
    "/health/ready": (request, reply) => health(service, request, reply),
    "/info": (request, reply) => answer(reply.raw, 200, JSON_TYPE, infoBody(service), request.id),
    "/metrics": (request, reply) => {
      const { admission, metrics, recorder } = service;
      const text = metrics.text({
        inFlight: admission.active,
        queued: admission.waiting,
        lingering: service.engine?.lingering ?? 0,
        recorder: recorder.stats,
      });
      answer(reply.raw, 200, "text/plain; version=0.0.4; charset=utf-8", text, request.id);
    },
    "/openapi.json": (request, reply) => answer(reply.raw, 200, JSON_TYPE, document(), request.id),
    "/docs": (request, reply) => {
      answer(reply.raw, 200, "text/html; charset=utf-8", docsPage(), request.id, docsHeaders());
    },
  };
}

function lazily<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

function health(service: Service, request: FastifyRequest, reply: FastifyReply): void {
  const ready = service.phase === "ready";
  const body = healthBody(service, statusOf(service));
  answer(
    reply.raw,
    ready ? 200 : 503,
    JSON_TYPE,
    body,
    request.id,
    ready ? [] : ["Retry-After", "1"],
  );
}

function statusOf({ phase }: Service): "ok" | "starting" | "draining" {
  switch (phase) {
    case "ready":
      return "ok";
    case "stopped":
      return "draining";
    default:
      return phase;
  }
}

function healthBody({ config }: Service, status: string): string {
  return JSON.stringify({
    status,
    deployment_id: config.deployment.id,
    snapshot_id: config.snapshot.id,
    revision: config.revision,
  });
}

function infoBody(service: Service): string {
  const { config, pipeline } = service;
  return JSON.stringify({
    deployment: {
      id: config.deployment.id,
      name: config.deployment.name,
      project: config.deployment.project,
      revision: config.revision,
    },
    snapshot: config.snapshot,
    pipeline: {
      name: pipeline.name,
      description: pipeline.description ?? null,
      steps: pipeline.graph.steps.map(({ id, name, after }) => ({ id, name, after })),
      outputs: Object.keys(pipeline.graph.outputs),
      input_schema: pipeline.inputSchema,
      output_schema: pipeline.outputSchema,
    },
    routes: ROUTES.map(({ method, path, summary, key }) => ({
      method,
      path,
      summary,
      needs_key: key && config.authKeyHash !== null,
    })),
    status: statusOf(service),
    uptime_seconds: Math.round(process.uptime() * 1000) / 1000,
  });
}

/** Answers with a problem; to an invocation that has the key with the members that its other answers have. */
function sendProblem(
  service: Service,
  request: FastifyRequest,
  reply: FastifyReply,
  problem: Problem,
): void {
  const { url } = request.routeOptions;
  if (url === "/invoke" && request.method === "POST" && problem.code !== "UNAUTHENTICATED") {
    refuse(service, request, reply.raw, problem);
    return;
  }
  service.metrics.refused(problem.code);
  answerProblem(reply.raw, problem, request.id);
}

function unauthenticated(service: Service, request: FastifyRequest, reply: FastifyReply): void {
  sendProblem(service, request, reply, {
    code: "UNAUTHENTICATED",
    detail:
      "Send the deployment's key as `Authorization: Bearer KEY`, or as the password of HTTP Basic.",
    headers: CHALLENGES,
  });
}

/** The path of a request without query, and without the host that a request to a proxy names. */
function pathOf({ url }: FastifyRequest): string {
  return url.replace(/^https?:\/\/[^/?]*/i, "").split("?", 1)[0] ?? "";
}

function notFound(service: Service, request: FastifyRequest, reply: FastifyReply): void {
  const path = pathOf(request);
  const methods = ROUTES.filter((route) => route.path === path).flatMap(({ method }) =>
    method === "GET" ? ["GET", "HEAD"] : [method],
  );
  if (methods.length > 0) {
    const allow = methods.join(", ");
    sendProblem(service, request, reply, {
      code: "METHOD_NOT_ALLOWED",
      detail: `${path} is called with ${allow}, and not with ${request.method}.`,
      headers: ["Allow", allow],
    });
    return;
  }
  const known = ROUTES.map((route) => `${route.method} ${route.path}`).join(", ");
  sendProblem(service, request, reply, {
    code: "ROUTE_NOT_FOUND",
    detail: `This service has ${known}.`,
  });
}

function fail(
  service: Service,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const problem = problemOf(error, service.config.serving.bodyLimitBytes);
  if (problem !== null) {
    sendProblem(service, request, reply, problem);
    return;
  }
  service.log
    .with({ request_id: request.id })
    .error("The request could not be handled.", { error });
  sendProblem(service, request, reply, {
    code: "INTERNAL",
    detail: service.config.serving.exposeErrors
      ? summarizeError(error, service.secrets).message
      : "The service's log says why.",
  });
}
