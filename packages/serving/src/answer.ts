import type { ServerResponse } from "node:http";
import { PROBLEMS, type Problem, problemBody, problemHeaders } from "./problem.ts";

/** What every answer has, as names and values in turn. None may be sniffed for another type or cached. */
export function commonHeaders(requestId: string, type: string): string[] {
  return [
    "X-Content-Type-Options",
    "nosniff",
    "Cache-Control",
    "no-store",
    "X-Request-Id",
    requestId,
    "Content-Type",
    type,
  ];
}

/** Writes a whole answer. `headers` alternates names and values. */
export function answer(
  response: ServerResponse,
  status: number,
  type: string,
  body: string,
  requestId: string,
  headers?: readonly string[],
): void {
  if (response.headersSent || response.destroyed) return;
  const length = Buffer.byteLength(body);
  const all = commonHeaders(requestId, type);
  all.push("Content-Length", String(length));
  if (headers !== undefined) all.push(...headers);
  response.writeHead(status, all);
  // As many bytes as characters: plain ASCII, which Node writes faster as latin1.
  response.end(body, length === body.length ? "latin1" : "utf8");
}

export const JSON_TYPE = "application/json; charset=utf-8";
export const PROBLEM_TYPE = "application/problem+json; charset=utf-8";

/** Answers with a problem. */
export function answerProblem(response: ServerResponse, problem: Problem, requestId: string): void {
  const { status } = PROBLEMS[problem.code];
  const body = JSON.stringify(problemBody(problem, requestId));
  answer(response, status, PROBLEM_TYPE, body, requestId, problemHeaders(problem));
}
