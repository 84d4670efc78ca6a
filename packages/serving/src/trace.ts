const REQUEST_ID = /^[A-Za-z0-9._:/+=@-]{1,128}$/;
const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/;

/** The client's own request id when it is usable in headers and logs; else undefined. */
export function usableRequestId(
  header: string | readonly string[] | undefined,
): string | undefined {
  return typeof header === "string" && REQUEST_ID.test(header) ? header : undefined;
}

/** The trace id of a W3C `traceparent` header; undefined when there is none, or no valid one. */
export function traceId(header: string | readonly string[] | undefined): string | undefined {
  const [, trace, span] = (typeof header === "string" && TRACEPARENT.exec(header)) || [];
  if (trace === undefined || span === undefined) return undefined;
  return /^0+$/.test(trace) || /^0+$/.test(span) ? undefined : trace;
}
