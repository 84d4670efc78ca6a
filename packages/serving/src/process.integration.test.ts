import { execFileSync, fork, spawn } from "node:child_process";
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { checking, obedient, reluctant, weather } from "./fixture-pipelines.ts";
import {
  type Fixture,
  type FixtureOptions,
  invoke,
  makeFixture,
  raw,
  requestText,
  runtime,
  spawnRuntime,
  startService,
  type TestService,
} from "./fixtures.ts";
import type { WorkerMessage } from "./worker-protocol.ts";

const module = new URL("../dist/fixture-pipelines.js", import.meta.url).href;
const pipelines = { checking, obedient, reluctant, weather };
const fixtureOf = (name: keyof typeof pipelines, options: FixtureOptions = {}): Promise<Fixture> =>
  makeFixture(pipelines[name], module, name, options);

let secrets: Readonly<Record<string, string>>;
beforeAll(async () => {
  const directory = await mkdtemp(join(tmpdir(), "millrace-secrets-"));
  await writeFile(join(directory, "API_KEY"), "very-secret-value");
  secrets = { MILLRACE_SECRETS_DIR: directory };
});

const ended: (() => unknown)[] = [];
afterEach(async () => {
  await Promise.all(ended.splice(0).map((end) => end()));
});

async function start(
  name: keyof typeof pipelines,
  options: FixtureOptions = {},
): Promise<TestService> {
  const service = await startService(await fixtureOf(name, options), secrets);
  ended.push(() => service.stop());
  return service;
}

/** One request on a connection of the given agent: status, and what the answer says about the connection. */
function call(url: string, agent: Agent, path: string, method = "GET", body?: string) {
  return new Promise<{ status: number | undefined; connection: string | undefined }>(
    (resolve, reject) => {
      const headers = body === undefined ? {} : { "content-type": "application/json" };
      const made = request(url + path, { agent, method, headers }, (response) => {
        response.resume();
        response.on("end", () =>
          resolve({ status: response.statusCode, connection: response.headers.connection }),
        );
      });
      made.on("error", reject);
      made.end(body);
    },
  );
}

it("in a container it may listen everywhere when its port is published on loopback alone", async () => {
  const host = { ...secrets, HOST: "0.0.0.0", MILLRACE_PUBLISHED_HOST: "127.0.0.1" };
  const service = await startService(await fixtureOf("weather"), host);
  ended.push(() => service.stop());
  expect(service.url).toMatch(/^http:\/\/0\.0\.0\.0:/);
});

/** Lets Node pretend to be an old one. */
const OLD_NODE = {
  NODE_OPTIONS:
    "--import=data:text/javascript,Object.defineProperty(process,'versions',{value:{...process.versions,node:'20.20.2'}})",
};

describe("at its start", () => {
  const outcome = async (args: readonly string[], variables: Readonly<Record<string, string>>) => {
    const child = spawnRuntime(args, variables);
    let stderr = "";
    child.stderr.on("data", (text) => {
      stderr += text;
    });
    const code = await new Promise((resolve) => child.once("exit", resolve));
    return { code, stderr };
  };

  it.each<[string, Readonly<Record<string, string>>, number, string]>([
    [
      "onInit throws",
      { INIT: "throw" },
      5,
      "INIT_FAILED: onInit of the pipeline failed: the database is away",
    ],
    ["onInit hangs", { INIT: "hang" }, 5, "INIT_TIMEOUT"],
    [
      "the module throws",
      { MODULE: "throw" },
      5,
      "the module is broken Caused by: no native code Caused by: librt.so.1: cannot open",
    ],
    [
      "build gives another graph",
      { GRAPH: "differs" },
      5,
      "graph.steps[0].input.value.celsius was 1 and is 2",
    ],
    ["it would be open to everybody", { HOST: "0.0.0.0" }, 2, "KEY_REQUIRED"],
    ["it is published to everybody", { MILLRACE_PUBLISHED_HOST: "192.0.2.1" }, 2, "KEY_REQUIRED"],
    ["the port is none", { PORT: "http" }, 2, "PORT_INVALID"],
    ["Node is too old", OLD_NODE, 2, "Millrace needs Node 22.18 or newer; this is Node 20.20.2."],
    ["there is no configuration", { MILLRACE_CONFIG: "" }, 2, "SERVICE_CONFIG_MISSING"],
    [
      "the configuration has a typo",
      { MILLRACE_CONFIG: '{"deploymnt":{}}' },
      2,
      'did you mean "deployment"?',
    ],
  ])("says so when %s", async (_what, variables, exitCode, message) => {
    const { directory, variables: own } = await fixtureOf("reluctant", {
      serving: { initTimeoutSeconds: 0.2 },
    });
    const { code, stderr } = await outcome(["serve", directory], { ...own, ...variables });
    expect(stderr).toContain(message);
    expect(code).toBe(exitCode);
  });

  it("says so when the folder is none, holds another snapshot, a secret is missing, or the port is in use", async () => {
    const [fixture, other] = [await fixtureOf("obedient"), await fixtureOf("weather")];
    const serve = (directory: string, variables = {}) =>
      outcome(["serve", directory], { ...fixture.variables, ...variables });
    expect((await serve(join(fixture.directory, "none"))).stderr).toContain("SNAPSHOT_UNREADABLE");
    expect((await serve(other.directory)).stderr).toContain("SNAPSHOT_MISMATCH");
    expect((await serve(fixture.directory)).stderr).toContain("needs API_KEY");
    const holder = await listening();
    const taken = await serve(fixture.directory, { ...secrets, PORT: String(portOf(holder)) });
    expect(taken).toMatchObject({ code: 4, stderr: expect.stringContaining("PORT_IN_USE") });
    expect((await outcome(["serv"], {})).code).toBe(2);
  });

  it("is live and not ready while onInit runs, and can be ended", async () => {
    const { directory, variables } = await fixtureOf("reluctant");
    const port = await freePort();
    const child = spawnRuntime(["serve", directory], {
      ...variables,
      INIT: "hang",
      PORT: String(port),
    });
    const exited = new Promise((resolve) => child.once("exit", resolve));
    const url = `http://127.0.0.1:${port}`;
    await vi.waitFor(
      async () => expect((await fetch(`${url}/health/live`)).status).toBe(200),
      5000,
    );
    const ready = await fetch(`${url}/health/ready`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toMatchObject({ status: "starting", revision: "revision-1" });
    const early = await invoke(url, {});
    expect(early.headers.get("retry-after")).toBe("1");
    expect(await early.json()).toMatchObject({ status: 503, code: "NOT_READY" });
    child.kill("SIGINT");
    expect(await exited).toBe(0);
  });
});

function listening(): Promise<Server> {
  const server = createServer({ pauseOnConnect: true });
  ended.push(() => server.close());
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function freePort(): Promise<number> {
  const holder = await listening();
  const port = portOf(holder);
  await new Promise((resolve) => holder.close(resolve));
  return port;
}

describe("at SIGTERM", () => {
  const wait = (ms: number) => JSON.stringify({ parameters: { what: "wait", ms } });

  it("finishes what is in flight, serves idle connections once more with Connection: close, cleans up, exits with 0", async () => {
    const service = await start("obedient");
    const idle = new Agent({ keepAlive: true, maxSockets: 1 });
    const busy = new Agent({ keepAlive: true, maxSockets: 1 });
    expect(await call(service.url, idle, "/health/ready")).toMatchObject({
      status: 200,
      connection: "keep-alive",
    });
    const inFlight = call(service.url, busy, "/invoke", "POST", wait(500));
    await vi.waitFor(async () => expect(await inFlightOf(service.url)).toBe(1));
    service.process.kill("SIGTERM");
    await vi.waitFor(() =>
      expect(service.log).toContainEqual(
        expect.objectContaining({ msg: expect.stringContaining("shuts down") }),
      ),
    );
    await expect(fetch(`${service.url}/health`)).rejects.toThrow();
    expect(await call(service.url, idle, "/health/ready")).toEqual({
      status: 503,
      connection: "close",
    });
    expect(await inFlight).toEqual({ status: 200, connection: "close" });
    expect(await service.exited).toBe(0);
    expect(service.log).toContainEqual(expect.objectContaining({ msg: "onCleanup" }));
  });

  it("runs an invocation that comes on an idle connection", async () => {
    const service = await start("obedient");
    const idle = new Agent({ keepAlive: true, maxSockets: 1 });
    await call(service.url, idle, "/health");
    service.process.kill("SIGTERM");
    await vi.waitFor(() =>
      expect(service.log).toContainEqual(
        expect.objectContaining({ msg: expect.stringContaining("shuts down") }),
      ),
    );
    expect(await call(service.url, idle, "/invoke", "POST", wait(1))).toEqual({
      status: 200,
      connection: "close",
    });
    expect(await service.exited).toBe(0);
  });

  it("aborts at the deadline what is still in flight, and tells the client", async () => {
    const service = await start("obedient", { serving: { drainSeconds: 0.3 } });
    const idle = new Agent({ keepAlive: true });
    await call(service.url, idle, "/health");
    const inFlight = service.invoke({ what: "deaf", ms: 20_000 });
    await vi.waitFor(async () => expect(await inFlightOf(service.url)).toBe(1));
    service.process.kill("SIGTERM");
    const answer = await inFlight;
    expect(await answer.json()).toMatchObject({
      status: 503,
      code: "DRAINING",
      run_id: expect.any(String),
    });
    expect(answer.headers.get("retry-after")).toBe("1");
    expect(await service.exited).toBe(0);
  });

  it("refuses at the deadline whose parameters are still being checked", async () => {
    const service = await start("checking", { serving: { drainSeconds: 0.3 } });
    const inFlight = service.invoke({ city: "Atlantis" });
    await vi.waitFor(async () => expect(await inFlightOf(service.url)).toBe(1));
    service.process.kill("SIGTERM");
    expect(await (await inFlight).json()).toMatchObject({ status: 503, code: "DRAINING" });
    expect(await service.exited).toBe(0);
  });

  it("at SIGINT waits for what is in flight, and not for idle connections", async () => {
    const service = await start("obedient");
    const idle = new Agent({ keepAlive: true });
    await call(service.url, idle, "/health");
    const inFlight = service.invoke({ what: "wait", ms: 300 });
    await vi.waitFor(async () => expect(await inFlightOf(service.url)).toBe(1));
    service.process.kill("SIGINT");
    expect((await inFlight).status).toBe(200);
    expect(await service.exited).toBe(0);
  });

  it.each(["serve", "crash"])(
    "ends although nobody reads its log: %s",
    async (how) => {
      const fixture = await fixtureOf("obedient", { serving: { drainSeconds: 1 } });
      const pipe = join(fixture.directory, "log");
      execFileSync("mkfifo", [pipe]);
      // Opened for both, so that opening does not wait for the other end; nothing is ever read.
      const log = await open(pipe, "r+");
      const port = await freePort();
      const child = spawn(process.execPath, [runtime, "serve", fixture.directory], {
        env: { ...process.env, ...fixture.variables, ...secrets, PORT: String(port) },
        stdio: ["ignore", log.fd, "inherit"],
      });
      const exited = new Promise((resolve) => child.once("exit", (...end) => resolve(end)));
      ended.push(
        () => child.kill("SIGKILL") && exited,
        () => log.close(),
      );
      const url = `http://127.0.0.1:${port}`;
      await vi.waitFor(
        async () => expect((await fetch(`${url}/health/ready`)).status).toBe(200),
        5000,
      );
      // A pipe holds 64 KiB; each of these logs a stack.
      for (let call = 0; call < 200; call++) {
        const { status } = await invoke(url, { parameters: { what: "throw" } });
        expect(status).toBe(500);
      }
      if (how === "crash") await invoke(url, { parameters: { what: "crash" } });
      else child.kill("SIGTERM");
      expect(await exited).toEqual([how === "crash" ? 1 : 0, null]);
    },
    20_000,
  );

  it("a second signal ends it at once", async () => {
    const service = await start("obedient");
    const inFlight = service.invoke({ what: "deaf", ms: 20_000 });
    await vi.waitFor(async () => expect(await inFlightOf(service.url)).toBe(1));
    service.process.kill("SIGTERM");
    await vi.waitFor(() =>
      expect(service.log).toContainEqual(
        expect.objectContaining({ msg: expect.stringContaining("shuts down") }),
      ),
    );
    service.process.kill("SIGTERM");
    expect((await inFlight).status).toBe(503);
    expect(await service.exited).toBe(0);
  });
});

describe("requests that come before earlier ones on their connection are answered", () => {
  const wait = (ms: number, ...headers: string[]) =>
    requestText({ parameters: { what: "wait", ms } }, ...headers);

  it.each([
    ["no HTTP", "NONSENSE\r\n\r\n"],
    [
      "a body that is none",
      "POST /invoke HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nNONSENSE",
    ],
  ])("keep their answers when %s comes after them", async (_what, text) => {
    const service = await start("obedient");
    const answers = await raw(service.url, wait(200) + wait(100) + text);
    expect(answers.match(/HTTP\/1\.1 \d+|"code":"\w+"/g)).toEqual([
      "HTTP/1.1 200",
      "HTTP/1.1 200",
      "HTTP/1.1 400",
      '"code":"REQUEST_MALFORMED"',
    ]);
  });

  it("are answered too when the service shuts down, and the last answer ends the connection", async () => {
    const service = await start("obedient");
    const later = Promise.withResolvers<string>();
    const short = raw(service.url, wait(900) + wait(600));
    const long = raw(service.url, wait(900) + wait(1200), later.promise);
    await vi.waitFor(async () => expect(await inFlightOf(service.url)).toBe(4));
    service.process.kill("SIGTERM");
    await vi.waitFor(() =>
      expect(service.log).toContainEqual(
        expect.objectContaining({ msg: expect.stringContaining("shuts down") }),
      ),
    );
    later.resolve(wait(1, "Accept: text/event-stream") + wait(1));
    const goesOn = ["HTTP/1.1 200", "Connection: keep-alive"];
    const ends = ["HTTP/1.1 200", "Connection: close"];
    const said = (answers: string) => answers.match(/HTTP\/1\.1 \d+|Connection: [\w-]+/g);
    expect(said(await short)).toEqual([...goesOn, ...ends]);
    expect(said(await long)).toEqual([...goesOn, ...goesOn, ...goesOn, ...ends]);
    expect(await service.exited).toBe(0);
  });

  it("are not looked at after one that ends the connection", async () => {
    const service = await start("obedient");
    const hostless = "GET /health HTTP/1.1\r\n\r\n";
    const answers = await raw(service.url, wait(100) + hostless + wait(0));
    expect(answers.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 200", "HTTP/1.1 400"]);
    const count = await service.invoke({ what: "count" });
    expect(await count.json()).toMatchObject({ outputs: { result: { begun: 1 } } });
  });

  it("leave nothing behind on it, however many they are", async () => {
    const service = await start("obedient");
    const answers = await raw(service.url, wait(20).repeat(50) + wait(20, "Connection: close"));
    expect(answers.match(/HTTP\/1\.1 200 /g)).toHaveLength(51);
    await service.stop("SIGTERM");
    // Node warns there of more than 10 listeners.
    expect(service.stderr()).toBe("");
  });
});

describe("code of the pipeline that", () => {
  it("throws outside of any step ends the process, after what is in flight", async () => {
    const service = await start("obedient");
    const inFlight = service.invoke({ what: "wait", ms: 500 });
    await vi.waitFor(async () => expect(await inFlightOf(service.url)).toBe(1));
    expect((await service.invoke({ what: "crash" })).status).toBe(200);
    expect((await inFlight).status).toBe(200);
    expect(await service.exited).toBe(1);
    expect(service.log).toContainEqual(
      expect.objectContaining({
        level: "error",
        msg: expect.stringContaining("outside of any step"),
        error: expect.objectContaining({ message: "outside of any step" }),
      }),
    );
  });

  it("ends the process is named in the log, with the runs that it ended, and is no orderly end", async () => {
    const service = await start("obedient");
    const other = service.invoke({ what: "wait", ms: 20_000 }).catch(() => "lost");
    await vi.waitFor(async () => expect(await inFlightOf(service.url)).toBe(1));
    await expect(service.invoke({ what: "exit" })).rejects.toThrow();
    expect(await other).toBe("lost");
    expect(await service.exited).toBe(1);
    expect(service.log).toContainEqual(
      expect.objectContaining({
        level: "error",
        msg: expect.stringContaining("called process.exit"),
        code: 0,
        runs: [expect.any(String), expect.any(String)],
      }),
    );
  });
});

async function inFlightOf(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`, { headers: { connection: "close" } })).text();
  return Number(/^millrace_runs_in_flight (\d+)$/m.exec(text)?.[1]);
}

describe("a worker", () => {
  /** Forks a worker and hands it the socket. */
  function worker(
    fixture: Fixture,
    socket: Server | undefined,
    variables: Readonly<Record<string, string>> = {},
  ) {
    const child = fork(runtime, ["serve", fixture.directory], {
      env: { ...process.env, ...fixture.variables, ...secrets, ...variables },
      execArgv: [],
      silent: true,
    });
    child.stdout?.resume();
    const messages: WorkerMessage[] = [];
    child.on("message", (message: WorkerMessage) => messages.push(message));
    const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
    ended.push(() => child.kill("SIGKILL") && exited);
    child.send({ type: "listen" }, socket);
    const told = (type: WorkerMessage["type"]) =>
      vi.waitFor(
        () => {
          const message = messages.find((one) => one.type === type);
          expect(message).toBeDefined();
          return message;
        },
        { timeout: 5000, interval: 5 },
      );
    return { child, messages, told, exited };
  }

  it("takes the parent's socket after onInit, shares it with others, and is replaced without a lost request", async () => {
    const socket = await listening();
    const url = `http://127.0.0.1:${portOf(socket)}`;
    const fixture = (revision: string) => fixtureOf("obedient", { revision });
    let current = worker(await fixture("r0"), socket);
    expect(await current.told("ready")).toEqual({ type: "ready", url });
    // The parent would accept connections too; it hands them over.
    socket.on("connection", (connection) => current.child.send({ type: "connection" }, connection));
    let stop = false;
    const statuses = new Map<unknown, number>();
    const clients = Array.from({ length: 8 }, async (_, client) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      while (!stop) {
        const { status } = await call(
          url,
          agent,
          "/invoke",
          "POST",
          '{"parameters":{"what":"wait","ms":1}}',
        ).catch((error: Error) => ({ status: error.message }));
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        // Some clients leave their connection idle in between.
        if (client % 2 === 0) await sleep(client * 5);
      }
      agent.destroy();
    });
    for (const revision of ["r1", "r2", "r3"]) {
      const next = worker(await fixture(revision), socket);
      await next.told("ready");
      const old = current;
      current = next;
      old.child.send({ type: "drain" });
      await old.told("drained");
      expect(await old.exited).toBe(0);
      const health: unknown = await (
        await fetch(`${url}/health`, { headers: { connection: "close" } })
      ).json();
      expect(health).toMatchObject({ revision });
    }
    stop = true;
    await Promise.all(clients);
    expect([...statuses.keys()]).toEqual([200]);
    expect(statuses.get(200)).toBeGreaterThan(50);
  });

  it("says that it is alive when it is asked", async () => {
    const { child, told } = worker(await fixtureOf("weather"), await listening());
    child.send({ type: "ping" });
    expect(await told("alive")).toEqual({ type: "alive" });
  });

  it("tells the parent why it cannot start", async () => {
    const { told, exited } = worker(await fixtureOf("reluctant"), await listening(), {
      INIT: "throw",
    });
    expect(await told("failed")).toMatchObject({
      error: { class: "pipeline", code: "INIT_FAILED" },
    });
    expect(await exited).toBe(5);
  });

  it("tells the parent that listen came without a socket, and does not wait for one", async () => {
    const { told, exited } = worker(await fixtureOf("weather"), undefined);
    expect(await told("failed")).toMatchObject({
      error: { class: "usage", code: "LISTEN_FAILED" },
    });
    expect(await exited).toBe(2);
  });

  it("tells neither the parent nor stderr a secret when it cannot start", async () => {
    const { child, told, exited } = worker(await fixtureOf("reluctant"), await listening(), {
      INIT: "leak",
    });
    let stderr = "";
    child.stderr?.on("data", (text) => {
      stderr += text;
    });
    expect(await told("failed")).toMatchObject({
      error: { message: "onInit of the pipeline failed: cannot log in with [secret]" },
    });
    expect(await exited).toBe(5);
    await vi.waitFor(() => expect(stderr).toContain("cannot log in with [secret]"));
    expect(stderr).not.toContain("very-secret-value");
  });

  it.each([0, 40, 80, 120, 160, 200, 240, 280])(
    "ends when its parent goes %i ms after the fork, its pipes too",
    async (ms) => {
      const { child, exited } = worker(await fixtureOf("weather"), await listening());
      await sleep(ms);
      child.disconnect();
      child.stdout?.destroy();
      child.stderr?.destroy();
      expect(typeof (await exited)).toBe("number");
    },
    10_000,
  );

  it.each(["INIT", "MODULE"])(
    "ends when its parent is gone although its start never ends (%s)",
    async (name) => {
      const variables = { [name]: "hang" };
      const { child, exited } = worker(await fixtureOf("reluctant"), await listening(), variables);
      await sleep(500);
      child.disconnect();
      expect(await exited).toBe(0);
    },
    10_000,
  );

  it("does not call itself drained when an exception outside of any step ends it", async () => {
    const socket = await listening();
    const { child, messages, told, exited } = worker(await fixtureOf("obedient"), socket);
    await told("ready");
    socket.on("connection", (connection) => child.send({ type: "connection" }, connection));
    const silent = new Promise((resolve) => child.once("disconnect", resolve));
    await invoke(`http://127.0.0.1:${portOf(socket)}`, { parameters: { what: "crash" } });
    expect(await exited).toBe(1);
    await silent;
    expect(messages.map(({ type }) => type)).toEqual(["ready"]);
  });

  it("ends when its parent is gone", async () => {
    const { child, told, exited } = worker(await fixtureOf("weather"), await listening());
    await told("ready");
    child.disconnect();
    expect(await exited).toBe(0);
  });

  it("closes idle connections at once when it has no successor", async () => {
    const socket = await listening();
    const { child, told, exited } = worker(await fixtureOf("weather"), socket);
    await told("ready");
    socket.on("connection", (connection) => child.send({ type: "connection" }, connection));
    await call(`http://127.0.0.1:${portOf(socket)}`, new Agent({ keepAlive: true }), "/health");
    child.send({ type: "drain", successor: false });
    expect(await exited).toBe(0);
  });
});

const batchSchema = z.object({
  run: z
    .looseObject({
      status: z.string(),
      outputs: z.unknown(),
      deploymentId: z.null(),
      id: z.string(),
    })
    .nullable(),
  error: z.looseObject({ code: z.string() }).nullable(),
  recorded: z.boolean().optional(),
});

describe("a batch run", () => {
  async function batch(
    fixture: Fixture,
    stdin: string,
    args: readonly string[] = [],
    begun: (child: ReturnType<typeof spawnRuntime>) => unknown = () => undefined,
  ) {
    const child = spawnRuntime(["run", fixture.directory, ...args], {
      ...fixture.variables,
      ...secrets,
    });
    const text = { out: "", err: "" };
    child.stdout.on("data", (chunk) => {
      text.out += chunk;
    });
    child.stderr.on("data", (chunk) => {
      text.err += chunk;
      begun(child);
    });
    child.stdin.end(stdin);
    const code = await new Promise((resolve) => child.once("exit", resolve));
    return { code, ...batchSchema.parse(JSON.parse(text.out)), err: text.err };
  }

  it("takes parameters from stdin, gives the record on stdout and log lines on stderr", async () => {
    const { code, run, error, err } = await batch(await fixtureOf("obedient"), '{"what":"log"}', [
      "--name",
      "mine",
    ]);
    expect({ code, error }).toEqual({ code: 0, error: null });
    expect(run).toMatchObject({
      status: "completed",
      name: "mine",
      pipelineName: "obedient",
      inputs: { what: "log", ms: 0 },
    });
    expect(err).toContain("hello from the step");
    expect(err).toContain("onCleanup");
  });

  it.each([
    ["parameters that do not fit", '{"what":"fly"}', [], 2, "PARAMETERS_INVALID"],
    ["parameters that are no JSON", "{", [], 2, "PARAMETERS_MALFORMED"],
    ["a step that throws", '{"what":"throw"}', [], 5, "STEP_FAILED"],
    ["a stray exception", '{"what":"fall","ms":60000}', [], 5, "UNCAUGHT_EXCEPTION"],
    ["a stray rejection", '{"what":"stray"}', [], 0, undefined],
    ["a deadline", '{"what":"wait","ms":60000}', ["--timeout", "0.1"], 8, "RUN_TIMEOUT"],
  ])("says by its exit code how it ended: %s", async (_what, stdin, args, exitCode, errorCode) => {
    const { code, error } = await batch(await fixtureOf("obedient"), stdin, args);
    expect({ code, errorCode: error?.code }).toEqual({ code: exitCode, errorCode });
  });

  it("says that it is lost to the records when neither the store nor its spool takes it", async () => {
    const file = join(await mkdtemp(join(tmpdir(), "millrace-store-")), "no-folder");
    await writeFile(file, "");
    const store = { kind: "sqlite" as const, file: join(file, "db"), spoolDirectory: file };
    const { code, run, recorded } = await batch(await fixtureOf("obedient", { store }), "{}");
    expect({ code, recorded }).toEqual({ code: 0, recorded: false });
    expect(run?.status).toBe("completed");
  });

  it("writes no secret in clear when it cannot begin", async () => {
    const fixture = await fixtureOf("reluctant");
    const variables = { ...fixture.variables, INIT: "leak" };
    const { error, err } = await batch({ ...fixture, variables }, "{}");
    expect(error).toMatchObject({
      code: "INIT_FAILED",
      message: "onInit of the pipeline failed: cannot log in with [secret]",
    });
    expect(err).not.toContain("very-secret-value");
  });

  const logOf = (err: string): unknown[] =>
    err
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));

  it("logs how it ended, without a step where none is to blame", async () => {
    const wait = '{"what":"wait","ms":60000}';
    const { err } = await batch(await fixtureOf("obedient"), wait, ["--timeout", "0.1"]);
    const line = expect.objectContaining({
      msg: "The run timed out.",
      run_id: expect.any(String),
      error: expect.objectContaining({
        stack: "MillraceError: The run did not finish within 0.1 s.",
      }),
    });
    expect(logOf(err)).toContainEqual(line);
    expect(err).not.toContain('"step":null');
  });

  it("logs an error by its message, and its causes in the stack", async () => {
    const { err } = await batch(await fixtureOf("obedient"), '{"what":"stray"}');
    expect(logOf(err)).toContainEqual(
      expect.objectContaining({
        error: expect.objectContaining({
          message: "nobody awaits this",
          stack: expect.stringContaining("caused by: Error: its cause"),
        }),
      }),
    );
  });

  it("is cancelled by SIGINT, and recorded as such", async () => {
    let interrupted = false;
    const { code, run, err } = await batch(
      await fixtureOf("obedient"),
      '{"what":"wait","ms":60000}',
      [],
      (child) => {
        if (interrupted) return;
        interrupted = true;
        // onInit has logged; the step begins in the same turn or the next ones.
        setTimeout(() => child.kill("SIGINT"), 200);
      },
    );
    expect(code).toBe(130);
    expect(run).toMatchObject({
      status: "cancelled",
      steps: [{ step: "perform", status: "cancelled" }],
    });
    const msg = "The run was cancelled by SIGINT.";
    expect(logOf(err)).toContainEqual(expect.objectContaining({ level: "info", msg }));
  });

  describe("with a parent", () => {
    async function forked(name: keyof typeof pipelines, variables: Record<string, string> = {}) {
      const folder = await mkdtemp(join(tmpdir(), "millrace-secrets-"));
      await writeFile(join(folder, "API_KEY"), "very-secret-value");
      const fixture = await fixtureOf(name);
      const child = fork(runtime, ["run", fixture.directory], {
        env: { ...process.env, ...fixture.variables, MILLRACE_SECRETS_DIR: folder, ...variables },
        execArgv: [],
        stdio: ["pipe", "pipe", "pipe", "ipc"],
      });
      let out = "";
      child.stdout?.on("data", (chunk) => {
        out += chunk;
      });
      let err = "";
      child.stderr?.on("data", (chunk) => {
        err += chunk;
      });
      const initialised = () => vi.waitFor(() => expect(err).toContain("onInit"), 5000);
      const read = new Promise((resolve) => child.once("message", resolve));
      const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
      const written = new Promise((resolve) => child.stdout?.once("end", resolve));
      ended.push(() => child.kill("SIGKILL") && exited);
      const result = async () => {
        await written;
        return { code: await exited, ...batchSchema.parse(JSON.parse(out)) };
      };
      return { child, folder, initialised, read, result };
    }

    it("says when it has read its secrets, whose folder may then go", async () => {
      const { child, folder, read, result } = await forked("obedient");
      expect(await read).toEqual({ type: "read" });
      await rm(folder, { recursive: true });
      child.stdin?.end('{"what":"secret"}');
      expect(await result()).toMatchObject({
        code: 0,
        run: { outputs: { result: { text: "17" } } },
      });
    });

    it("is cancelled when that is gone, and recorded as such", async () => {
      const { child, initialised, result } = await forked("obedient");
      child.stdin?.end('{"what":"wait","ms":60000}');
      await initialised();
      child.disconnect();
      expect(await result()).toMatchObject({ code: 130, run: { status: "cancelled" } });
    });

    it.each(["INIT", "MODULE"])(
      "ends when that is gone although its start never ends (%s)",
      async (name) => {
        const { child, read, result } = await forked("reluctant", { [name]: "hang" });
        child.stdin?.end("{}");
        await read;
        child.disconnect();
        expect(await result()).toMatchObject({ code: 130, error: { code: "RUN_CANCELLED" } });
      },
    );
  });
});
