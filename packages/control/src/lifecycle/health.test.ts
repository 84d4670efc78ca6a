import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { askHealth } from "./health.ts";

const READY = { status: "ready", deployment_id: "d1", snapshot_id: "s1", revision: "r1" };
const never = new AbortController().signal;

let server: Server | undefined;
afterEach(async () => {
  server?.closeAllConnections();
  await new Promise((resolve) =>
    server === undefined ? resolve(undefined) : server.close(resolve),
  );
  server = undefined;
});

async function serve(listener: RequestListener): Promise<string> {
  const made = createServer(listener);
  server = made;
  await new Promise<void>((resolve) => made.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(made.address() as AddressInfo).port}`;
}

function answering(status: number, body: string): Promise<string> {
  return serve((_request, response) => response.writeHead(status).end(body));
}

test("a ready service says what it serves, below whatever path its URL has", async () => {
  const url = await serve((request, response) =>
    response.writeHead(request.url === "/base/health/ready" ? 200 : 404).end(JSON.stringify(READY)),
  );
  const expected = { ready: true, snapshotId: "s1", revision: "r1" };
  expect(await askHealth(`${url}/base`, "d1", 5000, never)).toEqual(expected);
  expect(await askHealth(`${url}/base/`, "d1", 5000, never)).toEqual(expected);
});

test.each([
  ["a service that is not ready", 503, "{}", "answers 503"],
  ["a redirect", 302, "", "answers 302"],
  ["a body that is no JSON", 200, "<html>", "is no Millrace service"],
  ["a body of another shape", 200, '{"status":"ok"}', "is no Millrace service"],
  [
    "a body that is far too long",
    200,
    JSON.stringify({ ...READY, more: "x".repeat(100_000) }),
    "is no Millrace service",
  ],
  [
    "another deployment",
    200,
    JSON.stringify({ ...READY, deployment_id: "d2" }),
    "is answered by deployment d2",
  ],
])("%s is not ready", async (_what, status, body, reason) => {
  const health = await askHealth(await answering(status, body), "d1", 5000, never);
  expect(health).toMatchObject({ ready: false, reason: expect.stringContaining(reason) });
});

test("nobody there is not ready", async () => {
  const url = await answering(200, "");
  await new Promise((resolve) => server?.close(resolve));
  server = undefined;
  const health = await askHealth(url, "d1", 5000, never);
  expect(health).toMatchObject({
    ready: false,
    reason: expect.stringContaining("does not answer"),
  });
});

test("a URL that is none is not ready", async () => {
  expect(await askHealth("nowhere", "d1", 5000, never)).toMatchObject({ ready: false });
});

test("a service that accepts and says nothing is given up in time, and at an abort", async () => {
  const url = await serve(() => undefined);
  expect(await askHealth(url, "d1", 20, never)).toMatchObject({ ready: false });
  expect(await askHealth(url, "d1", 60_000, AbortSignal.timeout(20))).toMatchObject({
    ready: false,
  });
});
