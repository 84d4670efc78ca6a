import type { ServerResponse } from "node:http";
import { PROBLEMS, type Problem, problemBody } from "./problem.ts";

/** Headers of every answer that never change: no sniffing, no caching, no embedding. */
const STANDING = ["X-Content-Type-Options", "nosniff", "Cache-Control", "no-store"] as const;

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
  const all = [
    ...STANDING,
    "X-Request-Id",
    requestId,
    "Content-Type",
    type,
    "Content-Length",
    String(Buffer.byteLength(body)),
  ];
  response.writeHead(status, headers === undefined ? all : [...all, ...headers]);
  response.end(body);
}

export const JSON_TYPE = "application/json; charset=utf-8";
export const PROBLEM_TYPE = "application/problem+json; charset=utf-8";

/** Answers with a problem. */
export function answerProblem(
  response: ServerResponse,
  problem: Problem,
  requestId: string,
  headers: readonly string[] = [],
): void {
  const body = JSON.stringify(problemBody(problem, requestId));
  answer(response, PROBLEMS[problem.code].status, PROBLEM_TYPE, body, requestId, headers);
}
