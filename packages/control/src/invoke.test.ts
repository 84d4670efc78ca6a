import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { type DeploymentRecord, Secret } from "@millrace/core";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import type { InvokeOptions } from "./client.ts";
import { invoke } from "./invoke.ts";
import { authKeyName, hashAuthKey } from "./secrets/auth-key.ts";
import { SecretFile } from "./secrets/secret-file.ts";

let secrets: SecretFile;

beforeEach(async () => {
  const folder = await mkdtemp(join(tmpdir(), "millrace-invoke-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  secrets = new SecretFile(join(folder, "secrets.json"));
});

function record(patch: Partial<DeploymentRecord>): DeploymentRecord {
  return {
    id: "d1",
    projectId: "p1",
    name: "weather",
    userId: "u1",
    userName: "ann",
    stack: "default",
    deployer: "default",
    flavor: "local",
    deployerSettings: {},
    snapshotId: "sha256:1",
    revision: "r1",
    status: "RUNNING",
    statusReason: null,
    observedAt: 0,
    url: null,
    authKeyHash: null,
    metadata: {},
    createdAt: 0,
    updatedAt: 0,
    ...patch,
  };
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

async function serve(handler: Handler): Promise<string> {
  const server = createServer((request, response) => void handler(request, response)).listen(
    0,
    "127.0.0.1",
  );
  await once(server, "listening");
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  });
  const address = server.address();
  return typeof address === "object" && address !== null
    ? `http://127.0.0.1:${address.port}`
    : expect.fail("no address");
}

function answer(status: number, body: unknown, headers: Record<string, string> = {}): Handler {
  return (request, response) => {
    request
      .resume()
      .on("end", () =>
        response
          .writeHead(status, headers)
          .end(typeof body === "string" ? body : JSON.stringify(body)),
      );
  };
}

const call = (deployment: DeploymentRecord, options: InvokeOptions = {}) =>
  invoke({ secrets }, deployment, { city: "Oslo" }, options);

describe("invoke", () => {
  it("posts the parameters with the deployment's key and gives the answer back", async () => {
    const key = new Secret("0123456789abcdef");
    const authKeyHash = hashAuthKey(key);
    await secrets.set(authKeyName("d1", authKeyHash), key);
    let seen: unknown;
    const url = await serve(async (request, response) => {
      seen = {
        method: request.method,
        path: request.url,
        authorization: request.headers.authorization,
        body: JSON.parse(await text(request)),
      };
      response.end(JSON.stringify({ success: true, outputs: { a: 1 } }));
    });
    const deployment = record({ url: `${url}/base/`, authKeyHash });
    expect(await call(deployment, { runName: "mine", timeoutSeconds: 5 })).toMatchObject({
      success: true,
      outputs: { a: 1 },
    });
    expect(seen).toEqual({
      method: "POST",
      path: "/base/invoke",
      authorization: "Bearer 0123456789abcdef",
      body: { parameters: { city: "Oslo" }, run_name: "mine", timeout: 5 },
    });
  });

  it.each([
    [400, "usage", "BODY_MALFORMED"],
    [404, "not_found", "ROUTE_NOT_FOUND"],
    [413, "usage", "BODY_TOO_LARGE"],
    [422, "usage", "REQUEST_INVALID"],
    [500, "pipeline", "STEP_FAILED"],
    [500, "timeout", "STEP_TIMEOUT"],
    [504, "timeout", "RUN_TIMEOUT"],
  ])("turns a problem of status %d into an error of class %s", async (status, errorClass, code) => {
    const issues = [{ path: ["parameters", "city"], message: "is missing" }];
    const url = await serve(
      answer(status, { code, detail: "what happened", issues, run_id: "run-1", step: "fetch" }),
    );
    await expect(call(record({ url }))).rejects.toMatchObject({
      class: errorClass,
      code,
      retryable: false,
      message: expect.stringMatching(/what happened/),
      issues,
      details: { status, runId: "run-1", step: "fetch" },
    });
  });

  it.each([
    [429, "QUEUE_FULL"],
    [503, "DRAINING"],
  ])("says of status %d that it can be tried again, and when", async (status, code) => {
    const url = await serve(answer(status, { code, detail: "busy" }, { "retry-after": "3" }));
    await expect(call(record({ url }))).rejects.toMatchObject({
      class: "unreachable",
      code,
      retryable: true,
      retryAfterMs: 3000,
    });
  });

  it("says that the key is wrong, or not on this machine, and never shows one", async () => {
    const url = await serve(
      answer(401, { code: "UNAUTHENTICATED", detail: "The key is missing or wrong." }),
    );
    const key = new Secret("0123456789abcdef");
    const deployment = record({ url, authKeyHash: hashAuthKey(key) });
    await expect(call(deployment)).rejects.toMatchObject({
      class: "usage",
      code: "AUTH_KEY_MISSING",
    });
    await secrets.set(authKeyName("d1", hashAuthKey(key)), key);
    const error: unknown = await call(deployment).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ class: "usage", code: "AUTH_KEY_WRONG" });
    expect(JSON.stringify(error) + String(error)).not.toContain(key.reveal());
  });

  it.each<readonly [number, unknown]>([
    [200, "<html>a captive portal</html>"],
    [200, { success: true }],
    [502, "Bad Gateway"],
    [302, ""],
  ])("does not take another program's answer (%d, %j) for its own", async (status, body) => {
    const url = await serve(answer(status, body));
    await expect(call(record({ url }))).rejects.toMatchObject({
      class: "platform",
      code: "SERVICE_ANSWER_UNKNOWN",
      message: expect.stringContaining(`status ${status}`),
    });
  });

  it("says that nothing answers and what to do", async () => {
    const url = await serve(answer(200, ""));
    const free = await new Promise<string>((resolve) => {
      const server = createServer().listen(0, "127.0.0.1", () => {
        const address = server.address();
        server.close(() =>
          resolve(
            `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`,
          ),
        );
      });
    });
    expect(free).not.toBe(url);
    await expect(call(record({ url: free }))).rejects.toMatchObject({
      class: "unreachable",
      code: "SERVICE_UNREACHABLE",
      retryable: true,
      message: expect.stringMatching(/ECONNREFUSED/),
      action: expect.stringMatching(/npx millrace deployment refresh weather.*provision weather/),
    });
  });

  it("says so when the connection breaks before the whole answer", async () => {
    const url = await serve((request, response) => {
      request.resume().on("end", () => {
        response.writeHead(200, { "content-length": "1000" }).write('{"succ');
        setImmediate(() => response.destroy());
      });
    });
    await expect(call(record({ url }))).rejects.toMatchObject({
      class: "unreachable",
      code: "SERVICE_UNREACHABLE",
      // The run may have done what it does.
      retryable: false,
      message: expect.stringContaining("ended the connection before it had answered"),
    });
  });

  it("hangs up when the caller stops, so that the service can cancel the run", async () => {
    const stop = new AbortController();
    const hungUp = Promise.withResolvers<void>();
    const url = await serve((_request, response) => {
      response.on("close", hungUp.resolve);
      stop.abort(new Error("Ctrl-C"));
    });
    await expect(call(record({ url }), { signal: stop.signal })).rejects.toMatchObject({
      class: "aborted",
      code: "ABORTED",
    });
    await hungUp.promise;
    await expect(call(record({ url }), { signal: stop.signal })).rejects.toMatchObject({
      class: "aborted",
    });
  });

  it("says what to do for a deployment without a URL", async () => {
    await expect(call(record({ status: "ABSENT" }))).rejects.toMatchObject({
      class: "conflict",
      code: "DEPLOYMENT_NO_URL",
      action: expect.stringContaining("provision weather"),
    });
  });
});

describe("invoke with events", () => {
  const events = 'event: emit\ndata: {"step":"ask","event":"token","data":"Hi"}\n\n: quiet\n\n';
  const dropped = 'event: dropped\ndata: {"events":7}\n\n';
  const result = (body: object) => `event: result\ndata: ${JSON.stringify(body)}\n\n`;
  const streaming = (text: string) => answer(200, text, { "content-type": "text/event-stream" });

  it("passes them on, and gives the result back", async () => {
    const url = await serve(streaming(events + dropped + result({ success: true, outputs: {} })));
    const told: unknown[] = [];
    const invocation = await call(record({ url }), {
      onEvent: (event) => told.push(event),
      onDropped: (count) => told.push(count),
    });
    expect(invocation).toEqual({ success: true, outputs: {} });
    expect(told).toEqual([{ step: "ask", event: "token", data: "Hi" }, 7]);
  });

  it("asks for them only then, and takes an answer without them from an older service", async () => {
    const accepted: unknown[] = [];
    const url = await serve((request, response) => {
      accepted.push(request.headers.accept);
      response.end(JSON.stringify({ success: true, outputs: {} }));
    });
    await call(record({ url }));
    await call(record({ url }), { onEvent: () => undefined });
    expect(accepted).toEqual(["application/json", "text/event-stream, application/json"]);
  });

  it("fails as without them when the run does", async () => {
    const problem = { status: 504, code: "RUN_TIMEOUT", detail: "too late", success: false };
    const url = await serve(streaming(events + result(problem)));
    await expect(call(record({ url }), { onEvent: () => undefined })).rejects.toMatchObject({
      class: "timeout",
      code: "RUN_TIMEOUT",
    });
  });

  it("fails when the connection ends before the result", async () => {
    const url = await serve(streaming(events));
    await expect(call(record({ url }), { onEvent: () => undefined })).rejects.toMatchObject({
      class: "unreachable",
      message: expect.stringContaining("ended before the result"),
    });
  });

  it("ends with what the caller's function throws, and hangs up", async () => {
    let hungUp = false;
    const url = await serve((request, response) => {
      request.resume();
      response.on("close", () => {
        hungUp = true;
      });
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(events);
    });
    const own = new Error("my own");
    const failing = call(record({ url }), {
      onEvent: () => {
        throw own;
      },
    });
    await expect(failing).rejects.toBe(own);
    await expect.poll(() => hungUp).toBe(true);
  });
});
