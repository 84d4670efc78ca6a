import { strict as assert } from "node:assert";
import { setTimeout as sleep } from "node:timers/promises";
import type { JsonObject, ServingSettingsInput } from "@millrace/core";
import { z } from "zod";
import { at, type Bench } from "../bench.ts";
import { type Check, check } from "../check.ts";

const KEY = "conformance-key-0123456789";
const LIMIT_BYTES = 4096;
/** How long an event may take to come through, in milliseconds: far less than its run goes on. */
const EVENT_PATIENCE_MS = 30_000;

/** A deployed service, asked from outside. */
class Service {
  readonly url: string;
  readonly identity: {
    readonly deployment: string;
    readonly snapshot: string;
    readonly revision: string;
  };

  constructor(url: string, identity: Service["identity"]) {
    this.url = url;
    this.identity = identity;
  }

  ask(method: string, route: string, init: RequestInit = {}): Promise<Response> {
    const headers = { Authorization: `Bearer ${KEY}`, ...init.headers };
    return fetch(at(this.url, route), { method, ...init, headers });
  }

  post(body: string | Uint8Array<ArrayBuffer>, init: RequestInit = {}): Promise<Response> {
    return this.ask("POST", "invoke", {
      body,
      ...init,
      headers: { "Content-Type": "application/json", ...init.headers },
    });
  }

  /** The events of an invocation as they come, without comments. */
  async *stream(parameters: JsonObject, signal?: AbortSignal): AsyncGenerator<string> {
    const response = await this.post(JSON.stringify({ parameters }), {
      headers: { Accept: "text/event-stream" },
      ...(signal === undefined ? {} : { signal }),
    });
    assert.equal(response.status, 200);
    assert.match(response.headers.get("content-type") ?? "", /^text\/event-stream/);
    const chunks = (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream());
    let rest = "";
    for await (const chunk of chunks) {
      const blocks = (rest + chunk).split("\n\n");
      rest = blocks.pop() ?? "";
      yield* blocks.filter((block) => !block.startsWith(":"));
    }
  }

  invoke(parameters: JsonObject, more: JsonObject = {}): Promise<Response> {
    return this.post(JSON.stringify({ parameters, ...more }));
  }
}

async function serve(bench: Bench, serving: ServingSettingsInput = {}): Promise<Service> {
  const operator = await bench.operator();
  const { deployment } = await operator.deploy(
    { snapshot: "v1" },
    { name: "weather", serving: { authKey: KEY, bodyLimitBytes: LIMIT_BYTES, ...serving } },
  );
  assert.ok(
    deployment.url !== null && deployment.snapshotId !== null && deployment.revision !== null,
  );
  return new Service(deployment.url, {
    deployment: deployment.id,
    snapshot: deployment.snapshotId,
    revision: deployment.revision,
  });
}

function http(
  clause: string,
  id: string,
  title: string,
  run: (service: Service, bench: Bench) => Promise<void>,
  serving?: ServingSettingsInput,
): Check {
  return check(clause, id, title, async (bench) => run(await serve(bench, serving), bench), {
    requires: (_capabilities, { serves }) => serves === "real",
  });
}

const problemSchema = z.object({
  type: z.string().min(1),
  title: z.string().min(1),
  status: z.int(),
  detail: z.string(),
  code: z.string().regex(/^[A-Z][A-Z0-9_]+$/),
  request_id: z.string().min(1),
});

async function expectProblem(response: Response, status: number): Promise<Record<string, unknown>> {
  const text = await response.text();
  assert.equal(response.status, status, text.slice(0, 300));
  assert.match(response.headers.get("content-type") ?? "", /^application\/problem\+json/);
  const body: Record<string, unknown> = JSON.parse(text);
  const problem = problemSchema.parse(body);
  assert.equal(problem.status, status);
  return body;
}

const invocationSchema = z.object({
  success: z.literal(true),
  outputs: z.object({ report: z.object({ version: z.number() }) }),
  execution_time: z.number().min(0),
  metadata: z.object({
    deployment_id: z.string(),
    deployment_name: z.string(),
    snapshot_id: z.string(),
    snapshot_name: z.string().nullable(),
    pipeline_name: z.string(),
    run_id: z.string().min(1),
    run_name: z.string().min(1),
    parameters_used: z.record(z.string(), z.unknown()),
  }),
  error: z.null(),
});

const METRIC =
  /^[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_][a-zA-Z0-9_]*="(\\.|[^"\\])*",?)*\})? (NaN|[+-]?Inf|[+-]?[0-9.]+(e[+-]?[0-9]+)?)( [0-9]+)?$/i;

export const httpChecks = [
  http("HTTP-01", "invoke", "an invocation answers with outputs and metadata", async (service) => {
    const response = await service.invoke({ say: ["hello"] }, { run_name: "conformance" });
    assert.equal(response.status, 200);
    const { metadata } = invocationSchema.parse(await response.json());
    assert.equal(metadata.deployment_id, service.identity.deployment);
    assert.equal(metadata.snapshot_id, service.identity.snapshot);
    assert.equal(metadata.run_name, "conformance");
    assert.deepEqual(metadata.parameters_used["say"], ["hello"]);
  }),
  http(
    "HTTP-02",
    "invalid-parameters",
    "every wrong parameter is named by its path",
    async (service) => {
      const body = await expectProblem(
        await service.invoke({ sleepMs: "long", say: ["ok", 7], unknown: true }),
        422,
      );
      const text = JSON.stringify(body["issues"]);
      for (const path of ["sleepMs", "say", "unknown"])
        assert.ok(text.includes(path), `no issue names ${path}: ${text}`);
      await expectProblem(await service.post(JSON.stringify({ params: {} })), 422);
      await expectProblem(await service.invoke({}, { timeout: -1 }), 422);
      const poisoned = await expectProblem(
        await service.post('{"parameters":{"__proto__":{}}}'),
        422,
      );
      assert.ok(
        JSON.stringify(poisoned["issues"]).includes("__proto__"),
        "no issue names __proto__",
      );
    },
  ),
  http("HTTP-03", "malformed-json", "malformed JSON is a bad request", async (service) => {
    for (const body of ["{", "", "{'a': 1}", Uint8Array.of(0x22, 0xff, 0x22)])
      await expectProblem(await service.post(body), 400);
  }),
  http("HTTP-04", "unauthenticated", "a missing or wrong key is refused", async (service) => {
    for (const Authorization of [
      "",
      "Bearer wrong",
      "Bearer",
      `Basic ${btoa("x:wrong")}`,
      "Basic %%%",
    ]) {
      const response = await service.post("{}", { headers: { Authorization } });
      assert.ok(
        (response.headers.get("www-authenticate") ?? "").length > 0,
        "there is no challenge",
      );
      await expectProblem(response, 401);
    }
  }),
  http(
    "HTTP-05",
    "authenticated",
    "the key is taken as Bearer and as Basic password",
    async (service) => {
      for (const Authorization of [
        `Bearer ${KEY}`,
        `bearer ${KEY}`,
        `Basic ${btoa(`anybody:${KEY}`)}`,
      ]) {
        const response = await service.post("{}", { headers: { Authorization } });
        assert.equal(response.status, 200, `${Authorization.split(" ")[0]} is not taken`);
      }
    },
  ),
  http("HTTP-06", "unknown-path", "an unknown path is not found", async (service) => {
    await expectProblem(await service.ask("GET", "no/such/route"), 404);
    await expectProblem(await service.ask("POST", "invoke/more", { body: "{}" }), 404);
  }),
  http("HTTP-07", "wrong-method", "a wrong method is told the right one", async (service) => {
    const response = await service.ask("GET", "invoke");
    assert.ok(response.headers.get("allow")?.includes("POST"), "Allow does not name POST");
    await expectProblem(response, 405);
    await expectProblem(await service.ask("DELETE", "health"), 405);
    const headers = { "Content-Type": "application/json" };
    for (const [method, route] of [
      ["PUT", "invoke"],
      ["PATCH", "invoke"],
      ["POST", "health"],
    ] as const)
      await expectProblem(await service.ask(method, route, { body: "", headers }), 405);
  }),
  http("HTTP-08", "large-body", "a large body is refused", async (service) => {
    await expectProblem(await service.invoke({ say: ["x".repeat(2 * LIMIT_BYTES)] }), 413);
  }),
  http("HTTP-09", "wrong-media-type", "another media type is refused", async (service) => {
    const wrong = [
      ...["text/plain", "application/xml", "application/json; charset=utf-16"].map((type) => ({
        "Content-Type": type,
      })),
      { "Content-Encoding": "gzip" },
    ];
    for (const headers of wrong) await expectProblem(await service.post("{}", { headers }), 415);
  }),
  http("HTTP-10", "deadline-of-run", "a run past its deadline times out", async (service) => {
    await expectProblem(await service.invoke({ sleepMs: 20_000 }, { timeout: 0.2 }), 504);
  }),
  http("HTTP-11", "failing-step", "a failing step hides what is internal", async (service) => {
    const body = await expectProblem(await service.invoke({ fail: true }), 500);
    assert.equal(body["success"], false);
    assert.equal(typeof body["run_id"], "string");
    assert.equal(body["step"], "report");
    const text = JSON.stringify(body);
    assert.ok(!text.includes("conformance-internal-detail"), "the error's message is shown");
    assert.ok(!/\.m?[jt]s:\d+/.test(text), "a stack is shown");
  }),
  http("HTTP-12", "hang-up", "a client that hangs up aborts its run", async (service, bench) => {
    const operator = await bench.operator();
    const hangUp = new AbortController();
    const answer = fetch(at(service.url, "invoke"), {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${KEY}` },
      body: JSON.stringify({ parameters: { sleepMs: 60_000, say: ["conformance-began"] } }),
      signal: hangUp.signal,
    }).then(
      () => "answered",
      () => "hung up",
    );
    const logged = async (): Promise<string> => {
      let all = "";
      for await (const { text } of operator.deployments.logs("weather")) all += `${text}\n`;
      return all;
    };
    await bench.until("the run began", logged, (log) => log.includes("conformance-began"));
    hangUp.abort();
    assert.equal(await answer, "hung up");
    await bench.until("the run is aborted", logged, (log) => log.includes("conformance-aborted"));
  }),
  http("HTTP-13", "health", "health answers and names what serves", async (service) => {
    for (const route of ["health", "health/live", "health/ready"]) {
      const response = await service.ask("GET", route, { headers: { Authorization: "" } });
      assert.equal(response.status, 200, route);
      const { deployment_id, snapshot_id, revision } = z
        .object({ deployment_id: z.string(), snapshot_id: z.string(), revision: z.string() })
        .parse(await response.json());
      assert.deepEqual(
        { deployment: deployment_id, snapshot: snapshot_id, revision },
        service.identity,
      );
    }
  }),
  http(
    "HTTP-14",
    "info",
    "info names deployment, snapshot, pipeline and routes",
    async (service) => {
      const response = await service.ask("GET", "info");
      assert.equal(response.status, 200);
      const info = z
        .object({
          deployment: z.object({ id: z.string() }),
          snapshot: z.object({ id: z.string() }),
          pipeline: z.object({
            name: z.string(),
            input_schema: z.record(z.string(), z.unknown()),
            output_schema: z.record(z.string(), z.unknown()),
          }),
          routes: z.array(z.unknown()).min(1),
          uptime_seconds: z.number(),
        })
        .parse(await response.json());
      assert.equal(info.deployment.id, service.identity.deployment);
      assert.equal(info.snapshot.id, service.identity.snapshot);
      assert.equal(info.pipeline.name, "conformance_v1");
    },
  ),
  http("HTTP-15", "metrics", "metrics are Prometheus text", async (service) => {
    await (await service.invoke({})).text();
    const response = await service.ask("GET", "metrics");
    assert.equal(response.status, 200);
    assert.match(response.headers.get("content-type") ?? "", /^text\/plain/);
    const samples = (await response.text())
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"));
    assert.ok(samples.length > 0, "there are no metrics");
    assert.deepEqual(
      samples.filter((line) => !METRIC.test(line)),
      [],
      "these lines do not parse",
    );
  }),
  http("HTTP-16", "openapi", "the OpenAPI document has the pipeline's schemas", async (service) => {
    const response = await service.ask("GET", "openapi.json");
    assert.equal(response.status, 200);
    const document = z
      .looseObject({
        openapi: z.string().regex(/^3\.1\./),
        info: z.object({ title: z.string(), version: z.string() }),
        paths: z.record(z.string().startsWith("/"), z.record(z.string(), z.unknown())),
      })
      .parse(await response.json());
    assert.ok("post" in (document.paths["/invoke"] ?? {}), "POST /invoke is missing");
    for (const name of ["sleepMs", "say", "version"])
      assert.ok(JSON.stringify(document).includes(name), `${name} is missing`);
    const docs = await service.ask("GET", "docs");
    assert.equal(docs.status, 200);
    assert.match(docs.headers.get("content-type") ?? "", /^text\/html/);
    await docs.text();
  }),
  http(
    "HTTP-17",
    "problems",
    "errors are problem documents with a stable code",
    async (service) => {
      const codes = await Promise.all([
        service.ask("GET", "nowhere").then((response) => expectProblem(response, 404)),
        service.ask("GET", "nowhere-else").then((response) => expectProblem(response, 404)),
        service.post("{").then((response) => expectProblem(response, 400)),
      ]);
      assert.equal(codes[0]?.["code"], codes[1]?.["code"]);
      assert.notEqual(codes[0]?.["code"], codes[2]?.["code"]);
    },
  ),
  http(
    "HTTP-18",
    "overload",
    "more than may run and wait is turned away",
    async (service) => {
      const calls = Array.from({ length: 6 }, () => service.invoke({ sleepMs: 700 }));
      const responses = await Promise.all(calls);
      const refused = responses.filter(({ status }) => status === 429 || status === 503);
      assert.ok(
        refused.length > 0,
        `no request was turned away: ${responses.map(({ status }) => status).join(", ")}`,
      );
      for (const response of refused)
        assert.ok(Number(response.headers.get("retry-after")) > 0, "there is no Retry-After");
      assert.ok(
        responses.some(({ status }) => status === 200),
        "no request was answered",
      );
      await Promise.all(responses.map((response) => response.text()));
    },
    { maxConcurrency: 1, maxQueue: 1 },
  ),
  http(
    "HTTP-19",
    "events",
    "what a step emits comes while its run goes on, and the result last",
    async (service) => {
      const hangUp = new AbortController();
      const { signal } = hangUp;
      const early = service.stream({ say: ["conformance-event"], sleepMs: 60_000 }, signal);
      const first = await Promise.race([early.next(), sleep(EVENT_PATIENCE_MS, null)]);
      hangUp.abort();
      assert.ok(first !== null, `no event came within ${EVENT_PATIENCE_MS / 1000} s`);
      const emitted =
        'event: emit\ndata: {"step":"report","event":"said","data":"conformance-event"}';
      assert.equal(first.value, emitted);
      const all = await Array.fromAsync(service.stream({ say: ["conformance-event"] }));
      assert.equal(all[0], emitted);
      const result = /^event: result\ndata: (.*)$/.exec(all[1] ?? "")?.[1];
      invocationSchema.parse(JSON.parse(result ?? "null"));
      assert.equal(all.length, 2, "something comes after the result");
    },
  ),
];
