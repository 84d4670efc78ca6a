import type { ServerResponse } from "node:http";
import { isMillraceError, MillraceError, type Trace, uuidv7 } from "@millrace/core";
import type { Engine, Run } from "@millrace/engine";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Refusal } from "./admission.ts";
import { answer, JSON_TYPE, PROBLEM_TYPE } from "./answer.ts";
import { EventStream, wantsEvents } from "./event-stream.ts";
import { problemOfRun } from "./invocation-answer.ts";
import { endConnection } from "./pipelining.ts";
import { PROBLEMS, type Problem, problemHeaders } from "./problem.ts";
import { type InvokeRequest, readInvokeRequest, requestInvalid } from "./request-body.ts";
import { logEnd } from "./run-end.ts";
import { type RunTexts, textsOf } from "./run-recording.ts";
import type { Service } from "./service.ts";
import { traceFields, traceOf } from "./trace.ts";

const NOT_READY: Problem = {
  code: "NOT_READY",
  detail: "The service has not finished its start-up.",
  retryAfterSeconds: 1,
};

const DRAINING: Problem = {
  code: "DRAINING",
  detail: "The service is shutting down.",
  retryAfterSeconds: 1,
};

const CHECK_TIMEOUT: Problem = {
  code: "RUN_TIMEOUT",
  detail: "The check of the parameters did not finish before the deadline of the run.",
};

/** The handler of `POST /invoke`. */
export function makeInvoke(
  service: Service,
): (request: FastifyRequest, reply: FastifyReply) => void {
  return (request, reply) => {
    const { engine } = service;
    if (engine === undefined || service.phase === "stopped") {
      refuse(service, request, reply.raw, engine === undefined ? NOT_READY : DRAINING);
      return;
    }
    const asked = readInvokeRequest(request.body, service.config.serving.requestTimeoutSeconds);
    new Call(service, engine, request, reply.raw).begin(asked);
  };
}

/** Answers an invocation that did not become a run. */
export function refuse(
  service: Service,
  request: FastifyRequest,
  response: ServerResponse,
  problem: Problem,
): void {
  service.metrics.refused(problem.code);
  const body = service.answers.failure(problem, request.id, undefined);
  sendProblem(service, response, problem, body, request, traceOf(request.raw.headers));
}

function sendProblem(
  service: Service,
  response: ServerResponse,
  problem: Problem,
  body: string,
  request: FastifyRequest,
  trace: Trace | undefined,
): void {
  const headers = [...(traceHeaders(trace) ?? []), ...problemHeaders(problem)];
  send(service, response, PROBLEMS[problem.code].status, PROBLEM_TYPE, body, request, headers);
}

function send(
  service: Service,
  response: ServerResponse,
  status: number,
  type: string,
  body: string,
  request: FastifyRequest,
  headers: readonly string[] | undefined,
): void {
  if (service.phase !== "ready") endConnection(response);
  answer(response, status, type, body, request.id, headers);
}

/** The trace goes back as it came, so that the caller finds our log lines by it. */
function traceHeaders(trace: Trace | undefined): readonly string[] | undefined {
  return trace === undefined ? undefined : ["traceresponse", trace.traceparent];
}

/** One invocation from the checked request to the answer. */
class Call {
  readonly #service: Service;
  readonly #engine: Engine;
  readonly #request: FastifyRequest;
  readonly #response: ServerResponse;
  readonly #trace: Trace | undefined;
  #run: Run | undefined = undefined;
  /** Set once a run has begun whose client wants its events: then the status is sent. */
  #stream: EventStream | undefined = undefined;
  #giveUp: (() => void) | undefined = undefined;
  #over = false;

  constructor(service: Service, engine: Engine, request: FastifyRequest, response: ServerResponse) {
    this.#service = service;
    this.#engine = engine;
    this.#request = request;
    this.#response = response;
    this.#trace = traceOf(request.raw.headers);
    service.invocations++;
    response.on("close", () => this.#closed());
  }

  /** The parameters are checked with a place, for a check may take its time. */
  begin(asked: InvokeRequest): void {
    const { admission } = this.#service;
    const timeoutMs = this.#askedMs(asked);
    if (admission.tryEnter()) {
      this.#check(asked, timeoutMs);
      return;
    }
    const since = performance.now();
    this.#giveUp = admission.wait(
      timeoutMs,
      () => {
        this.#giveUp = undefined;
        if (this.#over) admission.leave();
        else this.#check(asked, timeoutMs - (performance.now() - since));
      },
      (why) => this.#refuse(queueProblem(why, admission.waiting)),
    );
  }

  #check(asked: InvokeRequest, timeoutMs: number): void {
    let input: unknown;
    try {
      input = this.#engine.parse(asked.parameters);
    } catch (error) {
      this.#invalid(error);
      return;
    }
    if (input instanceof Promise) this.#awaitCheck(asked, input, timeoutMs);
    else this.#start(asked, input, timeoutMs);
  }

  /** A check that waits for something has the deadline of the run that it comes before. It cannot be stopped, only left alone. */
  #awaitCheck(asked: InvokeRequest, check: Promise<unknown>, timeoutMs: number): void {
    const { admission, checks } = this.#service;
    const since = performance.now();
    const drained = (): void => stop(DRAINING);
    const isFirst = (): boolean => {
      clearTimeout(timer);
      this.#giveUp = undefined;
      return checks.delete(drained);
    };
    const stop = (problem: Problem | undefined): void => {
      if (!isFirst()) return;
      admission.leave();
      if (problem !== undefined) this.#refuse(problem);
    };
    const timer = setTimeout(stop, timeoutMs, CHECK_TIMEOUT);
    this.#giveUp = () => stop(undefined);
    checks.add(drained);
    check.then(
      (input) => {
        if (isFirst()) this.#start(asked, input, timeoutMs - (performance.now() - since));
      },
      (error) => {
        if (isFirst()) this.#invalid(error);
      },
    );
  }

  #invalid(error: unknown): void {
    this.#service.admission.leave();
    if (!isMillraceError(error) || error.code !== "PARAMETERS_INVALID") {
      this.#log().error("The parameters could not be checked.", { error });
      this.#refuse({ code: "INTERNAL", detail: "The parameters could not be checked." });
      return;
    }
    const { message, issues } = requestInvalid(
      error.issues.map((issue) => ({ ...issue, path: ["parameters", ...issue.path] })),
    );
    this.#refuse({ code: "REQUEST_INVALID", detail: message, issues });
  }

  #askedMs({ timeoutMs }: InvokeRequest): number {
    return timeoutMs ?? this.#service.config.serving.requestTimeoutSeconds * 1000;
  }

  #start(asked: InvokeRequest, input: unknown, timeoutMs: number): void {
    const { id, raw } = this.#request;
    // A request id that we made is the run's id as well; one that the client chose may have been used before.
    const runId = raw.headers["x-request-id"] === undefined ? id : uuidv7();
    if (wantsEvents(raw.headers.accept)) this.#openStream(runId);
    this.#run = this.#engine.start(
      {
        input,
        timeoutMs,
        askedMs: this.#askedMs(asked),
        id: runId,
        name: asked.runName,
        trace: this.#trace,
      },
      (run) => this.#ended(run),
    );
  }

  #openStream(runId: string): void {
    if (this.#service.phase !== "ready") endConnection(this.#response);
    this.#stream = new EventStream(this.#response, this.#request.id, traceHeaders(this.#trace));
    this.#service.streams.set(runId, this.#stream);
  }

  #ended(run: Run): void {
    if (this.#stream !== undefined) this.#service.streams.delete(run.id);
    this.#service.metrics.runEnded(run);
    const texts = textsOf(run);
    const recorded = this.#service.recording.ended(run, texts);
    if (recorded === undefined) this.#answer(run, texts, true);
    else recorded.then((kept) => this.#answer(run, texts, kept));
  }

  #answer(run: Run, texts: RunTexts, recorded: boolean): void {
    if (run.status === "completed") this.#succeed(run, texts, recorded);
    else {
      const { config, secrets } = this.#service;
      this.#fail(run, problemOfRun(run, config.serving.exposeErrors, secrets), recorded);
    }
    this.#service.admission.leave();
  }

  #succeed(run: Run, texts: RunTexts, recorded: boolean): void {
    const body = this.#service.answers.success(run, texts, recorded);
    if (this.#stream !== undefined) {
      this.#stream.end("result", body);
      return;
    }
    const headers = traceHeaders(this.#trace);
    send(this.#service, this.#response, 200, JSON_TYPE, body, this.#request, headers);
  }

  #fail(run: Run, problem: Problem, recorded: boolean): void {
    logEnd(this.#log(), run, problem.code);
    const body = this.#service.answers.failure(problem, this.#request.id, run, recorded);
    if (this.#stream !== undefined) {
      this.#stream.end("result", body);
      return;
    }
    sendProblem(this.#service, this.#response, problem, body, this.#request, this.#trace);
  }

  #refuse(problem: Problem): void {
    refuse(this.#service, this.#request, this.#response, problem);
  }

  #log() {
    return this.#service.log.with({
      request_id: this.#request.id,
      ...traceFields(this.#trace),
    });
  }

  /** The response is over: sent, or the client has hung up. */
  #closed(): void {
    if (this.#over) return;
    this.#over = true;
    this.#service.invocations--;
    if (this.#response.writableFinished) return;
    this.#giveUp?.();
    this.#run?.abort(
      new MillraceError({
        class: "aborted",
        code: "RUN_CANCELLED",
        message: "The run was cancelled: the client hung up.",
      }),
    );
  }
}

function queueProblem(why: Refusal, waiting: number): Problem {
  switch (why) {
    case "full":
      return {
        code: "QUEUE_FULL",
        detail: `${waiting} requests are waiting already.`,
        retryAfterSeconds: 1,
      };
    case "late":
      return {
        code: "QUEUE_TIMEOUT",
        detail: "No place became free in time.",
        retryAfterSeconds: 1,
      };
    case "closed":
      return DRAINING;
  }
}
