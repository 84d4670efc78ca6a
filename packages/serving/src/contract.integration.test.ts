import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { accepting, checking, obedient, surprising, weather } from "./fixture-pipelines.ts";
import {
  invoke,
  makeFixture,
  raw,
  requestText,
  startService,
  type TestService,
} from "./fixtures.ts";
import { PROBLEMS } from "./problem.ts";

const module = new URL("../dist/fixture-pipelines.js", import.meta.url).href;
const KEY = "a-key-of-some-length";
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

const problemSchema = z.looseObject({
  status: z.number(),
  code: z.enum(Object.keys(PROBLEMS) as [keyof typeof PROBLEMS]),
  request_id: z.string(),
  issues: z
    .array(z.object({ path: z.array(z.union([z.string(), z.number()])), message: z.string() }))
    .optional(),
});
type Problem = z.output<typeof problemSchema>;

/** An answer of the pipeline that does as it is told. */
const resultSchema = z.object({
  outputs: z.object({
    result: z.object({
      begun: z.number(),
      aborted: z.number(),
      ended: z.number(),
      text: z.string(),
    }),
  }),
  metadata: z.object({ run_id: z.string() }),
});

const resultOf = async (response: Response) => {
  const { outputs, metadata } = resultSchema.parse(await response.json());
  return { ...outputs.result, runId: metadata.run_id };
};

async function problemOf(response: Response): Promise<Problem> {
  expect(response.headers.get("content-type")).toContain("application/problem+json");
  const problem = problemSchema.parse(await response.json());
  expect(problem["status"]).toBe(response.status);
  expect(problem["request_id"]).toBe(response.headers.get("x-request-id"));
  return problem;
}

describe("a service without a key", () => {
  let service: TestService;
  let snapshotId: string;
  beforeAll(async () => {
    const fixture = await makeFixture(weather, module, "weather", {
      serving: {
        corsOrigins: ["https://app.example"],
        bodyLimitBytes: 4096,
        requestTimeoutSeconds: 20,
      },
    });
    snapshotId = fixture.config.snapshot.id;
    service = await startService(fixture);
  });
  afterAll(() => service.stop());

  it("answers an invocation with outputs by name and with what identifies it", async () => {
    const response = await invoke(service.url, {
      parameters: { city: "Rome" },
      run_name: "mine",
      timeout: 5,
    });
    expect(response.status).toBe(200);
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    expect(await response.json()).toEqual({
      success: true,
      outputs: { report: { city: "Rome", celsius: 4 }, advice: "coat" },
      execution_time: expect.any(Number),
      metadata: {
        deployment_id: "deployment-1",
        deployment_name: "fixture",
        snapshot_id: snapshotId,
        snapshot_name: "fixture-snapshot",
        pipeline_name: "weather",
        run_id: expect.stringMatching(UUID),
        run_name: "mine",
        parameters_used: { city: "Rome" },
      },
      error: null,
    });
  });

  it("fills in defaults when there is no body at all, and says which parameters it used", async () => {
    const response = await fetch(`${service.url}/invoke`, { method: "POST" });
    expect(await response.json()).toMatchObject({
      metadata: { parameters_used: { city: "Paris" } },
    });
  });

  it("answers in UTF-8 what is not ASCII", async () => {
    const body = await (await service.invoke({ city: "São Paulo 東京" })).json();
    expect(body).toMatchObject({ outputs: { report: { city: "São Paulo 東京" } } });
  });

  it("names every issue with its path", async () => {
    const parameters = await problemOf(await service.invoke({ city: "", days: 9, cty: 1 }));
    expect(parameters).toMatchObject({
      status: 422,
      code: "REQUEST_INVALID",
      success: false,
      outputs: null,
    });
    expect(parameters.issues?.map(({ path }) => path)).toEqual([
      ["parameters", "city"],
      ["parameters", "days"],
      ["parameters", "cty"],
    ]);
    const envelope = await problemOf(
      await invoke(service.url, { parameter: {}, run_name: "a\nb", timeout: 21 }),
    );
    expect(envelope.issues).toEqual([
      { path: ["parameter"], message: 'unknown key; did you mean "parameters"?' },
      { path: ["run_name"], message: expect.any(String) },
      { path: ["timeout"], message: expect.stringContaining("at most 20") },
    ]);
  });

  it.each<[string, RequestInit & { path?: string }, number, string]>([
    ["JSON that is cut off", { method: "POST", body: '{"parameters":' }, 400, "BODY_MALFORMED"],
    ["an empty body that claims to be JSON", { method: "POST", body: "" }, 400, "BODY_MALFORMED"],
    [
      "bytes that are no UTF-8",
      { method: "POST", body: Buffer.from('{"run_name":"\xff"}', "latin1") },
      400,
      "BODY_MALFORMED",
    ],
    [
      "another charset",
      {
        method: "POST",
        body: "{}",
        headers: { "content-type": "application/json; charset=utf-16" },
      },
      415,
      "MEDIA_TYPE_UNSUPPORTED",
    ],
    [
      "a compressed body",
      { method: "POST", body: gzipSync("{}"), headers: { "content-encoding": "gzip" } },
      415,
      "CONTENT_ENCODING_UNSUPPORTED",
    ],
    ["a body that is no object", { method: "POST", body: "[1]" }, 422, "REQUEST_INVALID"],
    [
      "parameters that are null",
      { method: "POST", body: '{"parameters":null}' },
      422,
      "REQUEST_INVALID",
    ],
    [
      "another media type",
      { method: "POST", body: "a=1", headers: { "content-type": "text/plain" } },
      415,
      "MEDIA_TYPE_UNSUPPORTED",
    ],
    [
      "a body that is too large",
      { method: "POST", body: JSON.stringify({ x: "y".repeat(5000) }) },
      413,
      "BODY_TOO_LARGE",
    ],
    ["another method", { method: "GET" }, 405, "METHOD_NOT_ALLOWED"],
    ["another path", { method: "GET", path: "/invoke/" }, 404, "ROUTE_NOT_FOUND"],
    ["a path that is no path", { method: "GET", path: "/%zz" }, 400, "REQUEST_MALFORMED"],
  ])("refuses %s", async (_what, { path = "/invoke", ...init }, status, code) => {
    const headers = init.body === undefined ? {} : { "content-type": "application/json" };
    const response = await fetch(service.url + path, {
      ...init,
      headers: { ...headers, ...init.headers },
    });
    expect(await problemOf(response)).toMatchObject({ status, code });
  });

  it.each(["", "{", "{}", "x".repeat(5000)])(
    "names the allowed methods whatever the body is: %.9j",
    async (body) => {
      const headers = { "content-type": "application/json" };
      const others = ["PUT", "DELETE", "PATCH", "OPTIONS"];
      const calls: [string, string][] = [
        ...others.map((method): [string, string] => ["/invoke", method]),
        ...[...others, "POST"].map((method): [string, string] => ["/health?x=1", method]),
      ];
      for (const [path, method] of calls) {
        const response = await fetch(service.url + path, { method, body, headers });
        expect(await problemOf(response)).toMatchObject({ code: "METHOD_NOT_ALLOWED" });
        expect(response.status).toBe(405);
        expect(response.headers.get("allow")).toBe(path === "/invoke" ? "POST" : "GET, HEAD");
      }
      const nowhere = await fetch(`${service.url}/nowhere`, { method: "POST", body, headers });
      expect(nowhere.status).toBe(404);
    },
  );

  it("names the routes that there are", async () => {
    expect((await problemOf(await fetch(`${service.url}/nowhere`)))["detail"]).toContain(
      "POST /invoke",
    );
  });

  it.each([
    ['{"parameters":\n {"city" "Rome"}}', '"\\"" is not expected at line 2, column 10'],
    ['{"parameters":', "it ends too early, at line 1, column 15"],
    ['{"parameters":{"days":NaN}}', '"N" is not expected at line 1, column 23'],
    ["", "it is empty"],
  ])("says where a body is no JSON: %j", async (body, why) => {
    const response = await fetch(`${service.url}/invoke`, {
      method: "POST",
      body,
      headers: { "content-type": "application/json" },
    });
    expect((await problemOf(response))["detail"]).toContain(why);
  });

  it("tells a client that compresses what it would take, and takes a byte order mark", async () => {
    const post = (body: string, encoding: string) =>
      fetch(`${service.url}/invoke`, {
        method: "POST",
        body,
        headers: { "content-type": "application/json", "content-encoding": encoding },
      });
    expect((await post("{}", "br")).headers.get("accept-encoding")).toBe("identity");
    expect((await post("\uFEFF{}", "identity")).status).toBe(200);
  });

  it("tells some of very many issues, and how many there are", async () => {
    const parameters = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [i, 0]));
    const { issues } = await problemOf(await service.invoke(parameters));
    expect(issues).toHaveLength(101);
    expect(issues?.at(-1)).toEqual({ path: ["parameters"], message: "and 200 more" });
    const envelope = await problemOf(await invoke(service.url, parameters));
    expect(envelope.issues).toHaveLength(101);
  });

  const post = "POST /invoke HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
  it.each([
    ["no Host", "GET /health HTTP/1.1\r\n\r\n", 400],
    ["two Hosts", "GET /health HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400],
    [
      "a transfer encoding that is not known",
      `${post}Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
      501,
    ],
    ["a body without an end", `${post}Transfer-Encoding: gzip\r\n\r\n{}`, 400],
    [
      "a request without a body that has such a coding",
      "GET /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
      400,
    ],
    ["a tunnel", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 405],
  ])("refuses %s once, and closes the connection", async (_what, text, status) => {
    const answer = await raw(service.url, text);
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(answer).toContain("Connection: close");
    expect(answer.match(/HTTP\/1\.1 /g)).toHaveLength(1);
  });

  it("asks for a body only when it may be read", async () => {
    const ask = (length: number, body: string) =>
      raw(
        service.url,
        `${post}Expect: 100-continue\r\nConnection: close\r\nContent-Length: ${length}\r\n\r\n${body}`,
      );
    expect(await ask(2, "{}")).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /);
    expect(await ask(5000, "")).toMatch(/^HTTP\/1\.1 413 /);
  });

  it("answers a client that has closed its side when it needs not wait", async () => {
    const { hostname, port } = new URL(service.url);
    const answer = await new Promise<string>((resolve) => {
      let text = "";
      const socket = connect(Number(port), hostname, () =>
        socket.end("GET /health HTTP/1.1\r\nHost: a\r\n\r\n"),
      );
      socket.on("data", (chunk) => {
        text += chunk;
      });
      socket.on("close", () => resolve(text));
    });
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  });

  it("answers what is no HTTP, headers that are too large, and an unknown expectation, with problems as well", async () => {
    const malformed = await raw(service.url, "NONSENSE\r\n\r\n");
    expect(malformed).toMatch(/^HTTP\/1\.1 400 /);
    expect(malformed).toContain('"code":"REQUEST_MALFORMED"');
    expect(malformed).toContain("Invalid method");
    const large = await raw(
      service.url,
      `GET /health HTTP/1.1\r\nHost: a\r\nX: ${"y".repeat(40_000)}\r\n\r\n`,
    );
    expect(large).toContain('"code":"HEADERS_TOO_LARGE"');
    const head = "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    expect(await raw(service.url, `${head}Expect: miracles\r\n\r\n`)).toContain(
      '"code":"EXPECTATION_FAILED"',
    );
    expect(await raw(service.url, `${head}\r\n`)).toMatch(/^HTTP\/1\.1 200 /);
  });

  it("keeps a usable request id and the trace, and makes ids where they are not usable", async () => {
    const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const kept = await service.invoke(
      {},
      { headers: { "x-request-id": "mine-1", traceparent: trace } },
    );
    expect(kept.headers.get("x-request-id")).toBe("mine-1");
    expect(kept.headers.get("traceresponse")).toBe(trace);
    const made = await service.invoke(
      {},
      { headers: { "x-request-id": "no good", traceparent: "00-0-0-0" } },
    );
    expect(made.headers.get("x-request-id")).toMatch(UUID);
    expect(made.headers.get("traceresponse")).toBeNull();
  });

  it.each(["/health", "/health/live", "/health/ready"])(
    "tells at %s what it serves",
    async (path) => {
      const response = await fetch(service.url + path);
      expect(response.status).toBe(200);
      expect(await response.json()).toEqual({
        status: "ok",
        deployment_id: "deployment-1",
        snapshot_id: snapshotId,
        revision: "revision-1",
      });
    },
  );

  it("describes itself at /info", async () => {
    const info = await (await fetch(`${service.url}/info`)).json();
    expect(info).toMatchObject({
      deployment: { name: "fixture", revision: "revision-1" },
      snapshot: { id: snapshotId },
      pipeline: {
        name: "weather",
        input_schema: { additionalProperties: false },
        outputs: ["report", "advice"],
      },
      status: "ok",
      routes: { length: 8 },
    });
  });

  it("counts runs, refusals and times at /metrics", async () => {
    const before = await metricsOf(service.url);
    await service.invoke({});
    await service.invoke({ city: 1 });
    const after = await metricsOf(service.url);
    const grown = (sample: string): number => (after.get(sample) ?? 0) - (before.get(sample) ?? 0);
    expect(grown('millrace_runs_total{status="completed"}')).toBe(1);
    expect(grown("millrace_run_duration_seconds_count")).toBe(1);
    expect(grown('millrace_step_duration_seconds_bucket{step="advise",le="+Inf"}')).toBe(1);
    expect(grown('millrace_requests_refused_total{code="REQUEST_INVALID"}')).toBe(1);
    expect(after.get("process_resident_memory_bytes")).toBeGreaterThan(1e6);
  });

  it("gives an OpenAPI document with the pipeline's own schemas, in which every reference leads somewhere", async () => {
    const document: unknown = await (await fetch(`${service.url}/openapi.json`)).json();
    expect(document).toMatchObject({
      openapi: "3.1.0",
      components: {
        schemas: { Parameters: { properties: { city: { type: "string", default: "Paris" } } } },
      },
      paths: { "/invoke": { post: { operationId: "invoke" } } },
    });
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(
      ([, path]) => path ?? "",
    );
    expect(references.length).toBeGreaterThan(5);
    for (const path of references) expect(document).toHaveProperty(path.split("/"));
  });

  it("gives a page at /docs that may load nothing from elsewhere", async () => {
    const response = await fetch(`${service.url}/docs`);
    expect(response.headers.get("content-type")).toContain("text/html");
    expect(response.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(await response.text()).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
  });

  it("lets pages of the configured origins call it, and no others", async () => {
    const preflight = { method: "OPTIONS", headers: { "access-control-request-method": "POST" } };
    const from = (origin: string) =>
      fetch(`${service.url}/invoke`, { ...preflight, headers: { ...preflight.headers, origin } });
    const allowed = await from("https://app.example");
    expect(allowed.status).toBe(204);
    expect(allowed.headers.get("access-control-allow-origin")).toBe("https://app.example");
    const foreign = await from("https://evil.example");
    expect(foreign.headers.get("access-control-allow-origin")).toBeNull();
    const call = await service.invoke({}, { headers: { origin: "https://app.example" } });
    expect(call.headers.get("access-control-allow-origin")).toBe("https://app.example");
    expect(call.status).toBe(200);
  });

  it("answers every request, whatever it is, with 200 or a well-formed problem", async () => {
    const json = fc.oneof(
      fc.json(),
      fc.string(),
      fc
        .record({ parameters: fc.jsonValue(), timeout: fc.jsonValue() })
        .map((body) => JSON.stringify(body)),
      fc
        .record({ parameters: fc.record({ city: fc.string() }) })
        .map((body) => JSON.stringify(body)),
    );
    const header = fc.string({
      minLength: 1,
      maxLength: 30,
      unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
    });
    const path = fc.oneof(
      { weight: 3, arbitrary: fc.constant("/invoke") },
      fc.constantFrom("/", "/health", "/info", "/invoke/x", "/invoke?x=1", "//", "/metrics"),
      fc.webPath().map((text) => `/${text}`),
    );
    await fc.assert(
      fc.asyncProperty(
        path,
        fc.constantFrom(
          "POST",
          "POST",
          "POST",
          "GET",
          "PUT",
          "DELETE",
          "PATCH",
          "OPTIONS",
          "HEAD",
          "TRACE",
          "PROPFIND",
        ),
        json,
        fc.constantFrom(
          "application/json",
          "application/json; charset=utf-8",
          "text/plain",
          undefined,
        ),
        fc.record(
          { "x-request-id": header, traceparent: header, authorization: header },
          { requiredKeys: [] },
        ),
        async (target, method, body, type, headers) => {
          const answer = await send(service.url, target, method, body, {
            ...headers,
            ...(type && { "content-type": type }),
          });
          if (answer.status === 200 || method === "HEAD") return;
          expect(answer.type).toContain("application/problem+json");
          const problem = problemSchema.parse(JSON.parse(answer.body));
          expect(PROBLEMS[problem.code].status).toBe(answer.status);
          expect(answer.status).toBeLessThan(500);
        },
      ),
      { numRuns: 300 },
    );
  });
});

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** Sends a request that fetch would not send. */
function send(
  url: string,
  path: string,
  method: string,
  body: string,
  headers: Record<string, string>,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const bodyless = method === "GET" || method === "HEAD" || method === "TRACE";
    const length = bodyless ? {} : { "content-length": Buffer.byteLength(body) };
    const call = request(url, { path, method, headers: { ...headers, ...length } }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk) => {
        text += chunk;
      });
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          type: String(response.headers["content-type"]),
          body: text,
        }),
      );
    });
    call.on("error", reject);
    call.end(bodyless ? undefined : body);
  });
}

async function metricsOf(url: string): Promise<Map<string, number>> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return new Map(
    text
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => [
        line.slice(0, line.lastIndexOf(" ")),
        Number(line.slice(line.lastIndexOf(" "))),
      ]),
  );
}

describe("a service with a key", () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startService(await makeFixture(weather, module, "weather", { authKey: KEY }));
  });
  afterAll(() => service.stop());

  const basic = (pair: string) => `Basic ${Buffer.from(pair).toString("base64")}`;

  it.each(["/invoke", "/info", "/metrics", "/openapi.json", "/docs"])(
    "wants it at %s",
    async (path) => {
      const method = path === "/invoke" ? "POST" : "GET";
      const get = (authorization?: string) =>
        fetch(service.url + path, { method, ...(authorization && { headers: { authorization } }) });
      for (const wrong of [
        undefined,
        "",
        "Bearer",
        `Bearer ${KEY}x`,
        `bearer ${KEY.slice(1)}`,
        KEY,
        basic(KEY),
        basic(`${KEY}:`),
        "Digest a",
      ]) {
        const response = await get(wrong);
        expect(response.headers.get("www-authenticate")).toMatch(/^Basic.*, Bearer/);
        expect(await problemOf(response)).toMatchObject({ status: 401, code: "UNAUTHENTICATED" });
      }
      for (const right of [
        `Bearer ${KEY}`,
        `bearer  ${KEY}`,
        basic(`anyone:${KEY}`),
        basic(`:${KEY}`),
      ]) {
        expect((await get(right)).status).toBe(200);
      }
    },
  );

  it.each(["/health", "/health/live", "/health/ready"])("does not want it at %s", async (path) => {
    expect((await fetch(service.url + path)).status).toBe(200);
  });

  it("says in its OpenAPI document that a refusal without it names no deployment", async () => {
    const headers = { authorization: `Bearer ${KEY}` };
    const document = await (await fetch(`${service.url}/openapi.json`, { headers })).json();
    const failure = (name: string) => ({
      content: {
        "application/problem+json": { schema: { $ref: `#/components/schemas/${name}` } },
      },
    });
    expect(document).toMatchObject({
      paths: {
        "/invoke": {
          post: { responses: { 401: failure("Problem"), 422: failure("InvokeFailure") } },
        },
      },
    });
    expect(
      await (await fetch(`${service.url}/invoke`, { method: "POST" })).json(),
    ).not.toHaveProperty("metadata");
  });

  it("does not read the body of whoever has none", async () => {
    const response = await fetch(`${service.url}/invoke`, {
      method: "POST",
      body: "{",
      headers: { "content-type": "application/json" },
    });
    expect(response.status).toBe(401);
  });
});

describe("runs", () => {
  let service: TestService;
  beforeAll(async () => {
    const directory = await mkdtemp(join(tmpdir(), "millrace-secrets-"));
    await writeFile(join(directory, "API_KEY"), "very-secret-value");
    const fixture = await makeFixture(obedient, module, "obedient", {
      serving: {
        maxConcurrency: 2,
        maxQueue: 1,
        queueTimeoutSeconds: 0.3,
        requestTimeoutSeconds: 10,
      },
    });
    service = await startService(fixture, { MILLRACE_SECRETS_DIR: directory });
    await rm(directory, { recursive: true });
  });
  afterAll(() => service.stop());

  const counts = async () => resultOf(await service.invoke({ what: "count" }));
  const logOf = (runId: unknown) => service.log.filter((line) => line["run_id"] === runId);

  it("that fail say which step, and nothing else", async () => {
    const response = await service.invoke({ what: "throw" });
    const problem = await problemOf(response);
    expect(problem).toMatchObject({
      status: 500,
      code: "STEP_FAILED",
      step: "perform",
      run_id: expect.stringMatching(UUID),
      success: false,
      outputs: null,
      error: { code: "STEP_FAILED", step: "perform" },
      metadata: { run_id: problem["run_id"], parameters_used: { what: "throw", ms: 0 } },
    });
    expect(JSON.stringify(problem)).not.toContain("inner cause");
    await vi.waitFor(() =>
      expect(logOf(problem["run_id"])).toMatchObject([
        {
          level: "error",
          step: "perform",
          error: {
            message: "the inner cause",
            stack: expect.stringMatching(/fixture-pipelines\.ts:\d+:\d+/),
          },
        },
      ]),
    );
  });

  it("whose step returns a wrong value fail as such", async () => {
    expect(await problemOf(await service.invoke({ what: "wrong" }))).toMatchObject({
      status: 500,
      code: "STEP_OUTPUT_INVALID",
    });
  });

  it("end at the deadline that the request asks for, also when the step is deaf to its signal", async () => {
    const response = await invoke(service.url, {
      parameters: { what: "deaf", ms: 5000 },
      timeout: 0.05,
    });
    expect(await problemOf(response)).toMatchObject({ status: 504, code: "RUN_TIMEOUT" });
  });

  it("that pass their deadline give their place back although a step goes on for ever, which is counted", async () => {
    const lingering = async () =>
      (await metricsOf(service.url)).get("millrace_steps_lingering") ?? Number.NaN;
    const before = await lingering();
    const forever = { parameters: { what: "forever" }, timeout: 0.05 };
    // There are two places; each of them is taken twice.
    for (let pair = 0; pair < 2; pair++) {
      const answers = await Promise.all([
        invoke(service.url, forever),
        invoke(service.url, forever),
      ]);
      expect(answers.map(({ status }) => status)).toEqual([504, 504]);
    }
    expect((await service.invoke({ what: "count" })).status).toBe(200);
    expect((await metricsOf(service.url)).get("millrace_runs_in_flight")).toBe(0);
    expect(await lingering()).toBe(before + 4);
  });

  it.each([
    ["closes its side", (socket: Socket) => socket.end()],
    ["is gone", (socket: Socket) => socket.destroy()],
  ])("are aborted when a client with several in flight %s", async (_how, leave) => {
    const before = await counts();
    const { hostname, port } = new URL(service.url);
    const text = requestText({ parameters: { what: "wait", ms: 30_000 } });
    const socket = connect(Number(port), hostname, () => socket.write(text + text));
    await vi.waitFor(async () =>
      expect((await metricsOf(service.url)).get("millrace_runs_in_flight")).toBe(2),
    );
    leave(socket);
    await vi.waitFor(async () =>
      expect((await metricsOf(service.url)).get("millrace_runs_in_flight")).toBe(0),
    );
    expect((await counts()).aborted).toBe(before.aborted + 2);
  });

  it("are aborted when the client hangs up", async () => {
    const before = await counts();
    const hangUp = new AbortController();
    const call = service
      .invoke({ what: "wait", ms: 30_000 }, { signal: hangUp.signal })
      .catch((error) => error.name);
    await vi.waitFor(async () => expect((await counts()).begun).toBe(before.begun + 1));
    hangUp.abort();
    expect(await call).toBe("AbortError");
    await vi.waitFor(async () => expect((await counts()).aborted).toBe(before.aborted + 1));
    const told = { level: "info", msg: "The run was cancelled: the client hung up." };
    await vi.waitFor(() => expect(service.log).toContainEqual(expect.objectContaining(told)));
  });

  it("wait for a place: too many are refused at once, and one that waits too long later", async () => {
    const wait = { what: "wait", ms: 900 };
    const slow = [service.invoke(wait), service.invoke(wait)];
    await vi.waitFor(async () =>
      expect((await metricsOf(service.url)).get("millrace_runs_in_flight")).toBe(2),
    );
    const waiting = service.invoke({ what: "count" });
    await vi.waitFor(async () =>
      expect((await metricsOf(service.url)).get("millrace_requests_queued")).toBe(1),
    );
    const refused = await service.invoke({ what: "count" });
    expect(refused.headers.get("retry-after")).toBe("1");
    expect(await problemOf(refused)).toMatchObject({ status: 429, code: "QUEUE_FULL" });
    const late = await waiting;
    expect(late.headers.get("retry-after")).toBe("1");
    expect(await problemOf(late)).toMatchObject({ status: 503, code: "QUEUE_TIMEOUT" });
    expect((await Promise.all(slow)).map(({ status }) => status)).toEqual([200, 200]);
    expect((await metricsOf(service.url)).get("millrace_runs_in_flight")).toBe(0);
  });

  it("that wait in the queue get the places that become free, in order", async () => {
    const answers = await Promise.all(
      [100, 100, 1].map((ms) => service.invoke({ what: "wait", ms })),
    );
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
  });

  it("that waited in the queue have less of their deadline left, and are told the whole one", async () => {
    const slow = requestText({ parameters: { what: "wait", ms: 100 } });
    const late = { parameters: { what: "wait", ms: 5000 }, timeout: 0.4 };
    // On one connection the third certainly comes when both places are taken.
    const answers = await raw(service.url, slow + slow + requestText(late, "Connection: close"));
    expect(answers).toContain("The run did not finish within 0.4 s.");
  });

  it("write log lines with their run's id, and no secret in clear", async () => {
    const logged = await resultOf(await service.invoke({ what: "log" }));
    expect(logged.text).toBe(logged.runId);
    await vi.waitFor(() =>
      expect(logOf(logged.runId)).toMatchObject([
        { msg: "hello from the step", step: "perform", city: "Lisbon" },
      ]),
    );
    const secret = await resultOf(await service.invoke({ what: "secret" }));
    expect(secret.text).toBe("17");
    await vi.waitFor(() => expect(logOf(secret.runId)).toMatchObject([{ msg: "leaked [secret]" }]));
    expect(JSON.stringify(service.log)).not.toContain("very-secret-value");
  });

  it("hand the caller's trace to their steps and write it to the log", async () => {
    const id = "4bf92f3577b34da6a3ce929d0e0e4736";
    const trace = { traceparent: `00-${id}-00f067aa0ba902b7-01`, tracestate: "a=1,b=2" };
    const traced = await resultOf(await service.invoke({ what: "trace" }, { headers: trace }));
    expect(JSON.parse(traced.text)).toEqual(trace);
    const failed = await problemOf(await service.invoke({ what: "throw" }, { headers: trace }));
    await vi.waitFor(() => {
      expect(logOf(traced.runId)).toMatchObject([{ msg: "traced", step: "perform", trace_id: id }]);
      expect(logOf(failed["run_id"])).toMatchObject([{ step: "perform", trace_id: id }]);
    });
    const none = await resultOf(
      await service.invoke({ what: "trace" }, { headers: { traceparent: `00-${id}-0-01` } }),
    );
    expect(none.text).toBe("null");
    await vi.waitFor(() => expect(logOf(none.runId)[0]).not.toHaveProperty("trace_id"));
  });

  it("that leave a rejected promise behind do no harm to others", async () => {
    expect((await service.invoke({ what: "stray" })).status).toBe(200);
    expect((await service.invoke({ what: "count" })).status).toBe(200);
    await vi.waitFor(() =>
      expect(service.log).toContainEqual(
        expect.objectContaining({ level: "error", msg: expect.stringContaining("nobody handled") }),
      ),
    );
  });
});

describe("a check of parameters that waits for something", () => {
  let service: TestService;
  beforeAll(async () => {
    const serving = { maxConcurrency: 1, maxQueue: 0, requestTimeoutSeconds: 10 };
    service = await startService(await makeFixture(checking, module, "checking", { serving }));
  });
  afterAll(() => service.stop());

  const inFlight = (count: number) =>
    vi.waitFor(async () =>
      expect((await metricsOf(service.url)).get("millrace_runs_in_flight")).toBe(count),
    );

  it("is followed by the run, or by what is wrong", async () => {
    expect(await (await service.invoke({ city: "Rome" })).json()).toMatchObject({
      outputs: { city: "Rome" },
    });
    const refused = await service.invoke({ city: "Nowhere" });
    expect(await problemOf(refused)).toMatchObject({
      code: "REQUEST_INVALID",
      issues: [{ path: ["parameters", "city"] }],
    });
    await inFlight(0);
  });

  it("takes a place, and has the deadline of the run", async () => {
    const endless = invoke(service.url, { parameters: { city: "Atlantis" }, timeout: 0.5 });
    await inFlight(1);
    expect((await service.invoke({ city: "Rome" })).status).toBe(429);
    expect(await problemOf(await endless)).toMatchObject({
      status: 504,
      code: "RUN_TIMEOUT",
      metadata: { run_id: null },
    });
    expect((await service.invoke({ city: "Rome" })).status).toBe(200);
  });

  it("gives its place back when the client hangs up", async () => {
    const hangUp = new AbortController();
    const call = service.invoke({ city: "Atlantis" }, { signal: hangUp.signal });
    await inFlight(1);
    hangUp.abort();
    await expect(call).rejects.toThrow();
    await inFlight(0);
  });
});

describe("a pipeline that takes any value", () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startService(await makeFixture(accepting, module, "accepting"));
  });
  afterAll(() => service.stop());

  const send = (body: string) =>
    fetch(`${service.url}/invoke`, {
      method: "POST",
      body,
      headers: { "content-type": "application/json" },
    });
  const nested = (levels: number) =>
    `{"parameters":{"value":${"[".repeat(levels)}${"]".repeat(levels)}}}`;

  it.each([
    ['{"__proto__":{"x":1}}', ["__proto__"]],
    ['{"parameters":{"\\u005f_proto__":{}}}', ["parameters", "__proto__"]],
    [
      '{"parameters":{"value":[{"a":{"__proto__":{}}}]}}',
      ["parameters", "value", 0, "a", "__proto__"],
    ],
    [
      '{"parameters":{"value":{"constructor":{"prototype":{}}}}}',
      ["parameters", "value", "constructor"],
    ],
    ['{"parameters":{"value":[1,-1e999]}}', ["parameters", "value", 1]],
    [nested(50_000), []],
  ])("is not given what could do harm: %.60s", async (body, path) => {
    const problem = await problemOf(await send(body));
    expect(problem).toMatchObject({ status: 422, code: "REQUEST_INVALID" });
    expect(problem.issues?.map((issue) => issue.path)).toEqual([path]);
  });

  it("says in its OpenAPI document that a body is needed", async () => {
    const document: unknown = await (await fetch(`${service.url}/openapi.json`)).json();
    expect(document).toMatchObject({
      paths: { "/invoke": { post: { requestBody: { required: true } } } },
    });
  });

  it("is given everything else as it came", async () => {
    const value = {
      constructor: 1,
      toString: [],
      n: [-0.5, 1e300],
      s: "a\u0000\ud83d\ude00",
      z: null,
    };
    const response = await send(JSON.stringify({ parameters: { value } }));
    expect(await response.json()).toMatchObject({
      outputs: { value },
      metadata: { parameters_used: { value, record: {} } },
    });
    expect((await send(nested(400))).status).toBe(200);
  });
});

describe("a step that does what no step should", () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startService(
      await makeFixture(surprising, module, "surprising", {
        serving: { requestTimeoutSeconds: 5, tracking: { mode: "sync" } },
      }),
    );
  });
  afterAll(() => service.stop());

  /** The record of a run; without a store it is a line of the log. */
  const recordOf = (runId: unknown) =>
    vi.waitFor(() => {
      const record = service.log
        .map((line) => z.looseObject({ id: z.string() }).safeParse(line["run"]).data)
        .find((run) => run?.id === runId);
      expect(record).toBeDefined();
      return record;
    });

  it.each(["bigint", "circle", "function", "map", "nan"])(
    "and returns a %s fails the run in the answer and in the record",
    async (returns) => {
      const problem = await problemOf(await service.invoke({ returns }));
      expect(problem).toMatchObject({
        status: 500,
        code: "OUTPUT_NOT_JSON",
        step: "surprise",
        error: { code: "OUTPUT_NOT_JSON", step: "surprise" },
      });
      expect(await recordOf(problem["run_id"])).toMatchObject({
        status: "failed",
        outputs: null,
        error: {
          code: "OUTPUT_NOT_JSON",
          message: expect.stringContaining("out.value"),
          details: { step: "surprise" },
        },
        steps: expect.arrayContaining([
          expect.objectContaining({ step: "surprise", status: "failed" }),
        ]),
      });
    },
  );

  it("and logs what cannot be read completes, and the line says so", async () => {
    const response = await service.invoke({ logs: true });
    expect(response.status).toBe(200);
    await vi.waitFor(() =>
      expect(service.log).toContainEqual(
        expect.objectContaining({
          step: "surprise",
          msg: "odd (Its fields cannot be read.)",
          error: expect.objectContaining({ message: "not to be looked at" }),
        }),
      ),
    );
  });

  it.each(["null", "undefined", "string", "bare", "object", "error", "bigint", "proxy"])(
    "and throws %s fails the run like any other",
    async (throws) => {
      const problem = await problemOf(await service.invoke({ throws }));
      expect(problem).toMatchObject({ status: 500, code: "STEP_FAILED", step: "surprise" });
      expect(await recordOf(problem["run_id"])).toMatchObject({
        status: "failed",
        error: { code: "STEP_FAILED" },
      });
      await vi.waitFor(() =>
        expect(service.log).toContainEqual(
          expect.objectContaining({ run_id: problem["run_id"], msg: "The run failed." }),
        ),
      );
    },
  );
});

describe("exposeErrors", () => {
  it("puts message and stack of a failing step into the answer", async () => {
    const directory = await mkdtemp(join(tmpdir(), "millrace-secrets-"));
    await writeFile(join(directory, "API_KEY"), "very-secret-value");
    const fixture = await makeFixture(obedient, module, "obedient", {
      serving: { exposeErrors: true },
    });
    const service = await startService(fixture, { MILLRACE_SECRETS_DIR: directory });
    try {
      const problem = await problemOf(await service.invoke({ what: "throw" }));
      expect(problem["error"]).toMatchObject({
        message: expect.stringContaining("the inner cause"),
        stack: expect.stringMatching(/fixture-pipelines\.ts:\d+:\d+/),
      });
      const leak = await problemOf(await service.invoke({ what: "leak" }));
      expect(leak["error"]).toMatchObject({
        message: expect.stringContaining("cannot log in with [secret]"),
        stack: expect.stringContaining("cannot log in with [secret]"),
      });
    } finally {
      await service.stop();
    }
  });
});
