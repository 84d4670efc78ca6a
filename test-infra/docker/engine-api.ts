import { request } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

/** Time in which an engine answers a ping, in milliseconds. */
const PING_MS = 2000;

/** Asks an engine by its own API (https://docs.docker.com/reference/api/engine/). */
export async function askEngine(
  socketPath: string,
  method: string,
  path: string,
  body?: AsyncIterable<Uint8Array>,
): Promise<{ readonly status: number; readonly text: string }> {
  const headers = body === undefined ? {} : { "content-type": "application/x-tar" };
  const asked = request({ socketPath, method, path, headers });
  const answered = new Promise<{ status: number; text: string }>((resolve, reject) => {
    asked.on("error", reject);
    asked.on("response", async (response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk);
      resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() });
    });
  });
  if (body === undefined) asked.end();
  else await pipeline(Readable.from(body, { objectMode: false }), asked);
  return answered;
}

/** Whether an engine answers at a socket. */
export async function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request({ socketPath, path: "/_ping", timeout: PING_MS }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    asked.on("timeout", () => asked.destroy());
    asked.on("error", () => resolve(false));
    asked.end();
  });
}
