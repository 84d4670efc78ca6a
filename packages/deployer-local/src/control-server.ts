import { createServer, type Server, type Socket } from "node:net";
import { MillraceError, parse, summarizeError } from "@millrace/core";
import {
  type ControlRequest,
  type ControlResponse,
  MAX_LINE_BYTES,
  requestSchema,
  type Status,
} from "./control-protocol.ts";
import { parseJson } from "./json-text.ts";

/** Answers each line of a connection by one line. Connections of a server are not kept open by it. */
export function controlServer(
  deploymentId: string,
  handle: (request: ControlRequest) => Promise<Status>,
): Server {
  const answer = async (line: string): Promise<ControlResponse> => {
    try {
      return { ok: true, status: await handle(readRequest(line, deploymentId)) };
    } catch (error) {
      return { ok: false, error: summarizeError(error) };
    }
  };
  return createServer((socket) => {
    serveLines(socket, async (line) => {
      socket.write(`${JSON.stringify(await answer(line))}\n`);
    });
  });
}

function readRequest(line: string, deploymentId: string): ControlRequest {
  const request = parse(requestSchema, parseJson(line), {
    what: "The request to the supervisor",
    code: "SUPERVISOR_INCOMPATIBLE",
    class: "platform",
    action:
      "Another version of Millrace started the supervisor. Deprovision, then provision again.",
  });
  if (request.deploymentId === deploymentId) return request;
  throw new MillraceError({
    class: "platform",
    code: "SUPERVISOR_MISMATCH",
    message: `This is the supervisor of deployment ${deploymentId}, not of ${request.deploymentId}.`,
    action: "Use another state directory for one of the two.",
  });
}

function serveLines(socket: Socket, onLine: (line: string) => Promise<void>): void {
  let pending: Buffer[] = [];
  let size = 0;
  socket.on("data", (chunk: Buffer) => {
    let rest = chunk;
    for (let end = rest.indexOf(10); end !== -1; end = rest.indexOf(10)) {
      const line = Buffer.concat([...pending, rest.subarray(0, end)]).toString("utf8");
      pending = [];
      size = 0;
      rest = rest.subarray(end + 1);
      void onLine(line);
    }
    pending.push(rest);
    size += rest.length;
    if (size > MAX_LINE_BYTES) socket.destroy();
  });
  // The other side hung up; there is nobody left to tell.
  socket.on("error", () => socket.destroy());
}
