import { once } from "node:events";
import { request } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

const socketPath = (process.env["DOCKER_HOST"] ?? "unix:///var/run/docker.sock").replace(
  "unix://",
  "",
);

/** Asks the engine, by its own API. */
export async function askEngine(
  method: string,
  path: string,
  body?: AsyncIterable<Uint8Array>,
): Promise<{ readonly status: number; readonly text: string }> {
  const asked = request({
    socketPath,
    method,
    path,
    headers: { "content-type": "application/x-tar" },
  });
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

/** What the engine answers, as it comes. */
export async function* readEngine(path: string): AsyncGenerator<Uint8Array> {
  const asked = request({ socketPath, path }).end();
  const [answer] = await once(asked, "response");
  yield* answer;
}
