import type { IncomingHttpHeaders } from "node:http";
import type { Trace } from "@millrace/core";

const REQUEST_ID = /^[A-Za-z0-9._:/+=@-]{1,128}$/;
const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/;

/** The client's own request id when it is usable in headers and logs; else undefined. */
export function usableRequestId(
  header: string | readonly string[] | undefined,
): string | undefined {
  return typeof header === "string" && REQUEST_ID.test(header) ? header : undefined;
}

/** The W3C trace context of a request; undefined when there is none, or no valid one. */
export function traceOf({ traceparent, tracestate }: IncomingHttpHeaders): Trace | undefined {
  if (typeof traceparent !== "string") return undefined;
  const [, trace, span] = TRACEPARENT.exec(traceparent) ?? [];
  if (trace === undefined || span === undefined) return undefined;
  if (/^0+$/.test(trace) || /^0+$/.test(span)) return undefined;
  return typeof tracestate === "string" ? { traceparent, tracestate } : { traceparent };
}

/** What the log lines of a trace carry. */
export function traceFields(trace: Trace | undefined): { readonly trace_id?: string } {
  return trace === undefined ? {} : { trace_id: trace.traceparent.slice(3, 35) };
}
