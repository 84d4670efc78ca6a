import { mkdtemp, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { obedient } from "./fixture-pipelines.ts";
import { invoke, makeFixture, startService, type TestService } from "./fixtures.ts";

const module = new URL("../dist/fixture-pipelines.js", import.meta.url).href;
const STREAM = { headers: { accept: "text/event-stream" } };
let service: TestService;

beforeAll(async () => {
  const options = { serving: { maxConcurrency: 1, maxQueue: 0 } };
  const fixture = await makeFixture(obedient, module, "obedient", options);
  const directory = await mkdtemp(join(tmpdir(), "millrace-secrets-"));
  await writeFile(join(directory, "API_KEY"), "very-secret-value");
  service = await startService(fixture, { MILLRACE_SECRETS_DIR: directory });
});
afterAll(() => service.stop());

const countSchema = z.object({
  outputs: z.object({ result: z.object({ aborted: z.number(), ended: z.number() }) }),
});

/** How many runs there were; undefined while the one place is taken. */
async function counts() {
  const response = await service.invoke({ what: "count" });
  const body: unknown = await response.json();
  return response.ok ? countSchema.parse(body).outputs.result : undefined;
}

interface Message {
  readonly event: string;
  readonly data: Record<string, unknown>;
}

/** The messages of a stream, each as it comes. */
async function* messagesOf(response: Response): AsyncGenerator<Message> {
  let rest = "";
  for await (const text of (response.body ?? new ReadableStream()).pipeThrough(
    new TextDecoderStream(),
  )) {
    const blocks = (rest + text).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const [, event = "", data = ""] = /^event: (.*)\ndata: (.*)$/.exec(block) ?? [];
      if (event !== "") yield { event, data: JSON.parse(data) };
    }
  }
  expect(rest).toBe("");
}

const stream = (parameters: object) => service.invoke(parameters, STREAM);
const streamed = async (parameters: object) =>
  Array.fromAsync(messagesOf(await stream(parameters)));

describe("an invocation with events", () => {
  it("gets what the steps emit, as it comes, and then the answer that it would get without", async () => {
    const response = await stream({ what: "emit", ms: 200 });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect(response.headers.get("cache-control")).toBe("no-store");
    const messages = messagesOf(response);
    const first = await messages.next();
    expect(first.value).toEqual({
      event: "emit",
      data: { step: "perform", event: "before", data: { text: "two\nlines" } },
    });
    // The run goes on: nobody else has a place.
    expect((await service.invoke({ what: "count" })).status).toBe(429);
    const [after, result, ...none] = await Array.fromAsync(messages);
    expect(after).toMatchObject({ event: "emit", data: { event: "after", data: 200 } });
    expect(result).toMatchObject({
      event: "result",
      data: {
        success: true,
        outputs: { result: { text: "emitted" } },
        metadata: { run_id: response.headers.get("x-request-id") },
      },
    });
    expect(none).toEqual([]);
    const warning = { msg: "An event was not sent: it is no JSON value.", event: "odd" };
    await expect
      .poll(() => service.log)
      .toContainEqual(expect.objectContaining({ ...warning, step: "perform" }));
  });

  it("is told of a failure by the last event", async () => {
    expect(await streamed({ what: "throw" })).toEqual([
      {
        event: "result",
        data: expect.objectContaining({
          success: false,
          status: 500,
          code: "STEP_FAILED",
          step: "perform",
        }),
      },
    ]);
    const late = await invoke(
      service.url,
      { parameters: { what: "wait", ms: 60_000 }, timeout: 0.1 },
      STREAM,
    );
    expect(await Array.fromAsync(messagesOf(late))).toMatchObject([
      { event: "result", data: { status: 504, code: "RUN_TIMEOUT" } },
    ]);
  });

  it("is refused with a status, as others are, when no run begins", async () => {
    const response = await stream({ what: "nothing of the kind" });
    expect(response.status).toBe(422);
    expect(response.headers.get("content-type")).toContain("application/problem+json");
  });

  it("is cancelled when its client hangs up", async () => {
    const aborted = async () => (await counts())?.aborted;
    const before = await aborted();
    const leave = new AbortController();
    const response = await service.invoke(
      { what: "wait", ms: 60_000 },
      { ...STREAM, signal: leave.signal },
    );
    leave.abort();
    await expect(response.text()).rejects.toThrow();
    await expect.poll(aborted, { timeout: 10_000 }).toBe((before ?? 0) + 1);
  });

  it("that is not read loses events and not its result, and the service keeps little of it", async () => {
    const before = await counts();
    const { hostname, port } = new URL(service.url);
    const body = JSON.stringify({ parameters: { what: "flood" } });
    const socket = connect(Number(port), hostname);
    socket.pause();
    socket.write(
      [
        "POST /invoke HTTP/1.1",
        `Host: ${hostname}`,
        "Accept: text/event-stream",
        "Content-Type: application/json",
        `Content-Length: ${body.length}`,
        "Connection: close",
        "",
        body,
      ].join("\r\n"),
    );
    await expect
      .poll(async () => (await counts())?.ended, { timeout: 20_000 })
      .toBe((before?.ended ?? 0) + 1);
    let received = "";
    for await (const chunk of socket) received += chunk;
    const end = received.slice(-1000);
    expect(end).toMatch(/event: dropped\ndata: \{"events":[1-9]\d*\}/);
    expect(end).toContain('"text":"flooded"');
  });
});
