import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, createServer, get, type RequestListener, type Server } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test, vi } from "vitest";
import {
  type Backend,
  type DoorState,
  type Failure,
  ROUTE_FILE,
  type Route,
  readState,
} from "./door-contract.ts";

const program = fileURLToPath(new URL("./door.ts", import.meta.url));

class Door {
  readonly folder: string;
  readonly port: number;
  readonly process: ChildProcess;
  readonly #said: string[] = [];
  #sequence = 0;

  constructor(folder: string, port: number) {
    this.folder = folder;
    this.port = port;
    const stdio = ["ignore", "pipe", "inherit"] as const;
    const child = spawn(process.execPath, [program, folder, String(port)], { stdio: [...stdio] });
    createInterface({ input: child.stdout }).on("line", (line) => this.#said.push(line));
    this.process = child;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/`;
  }

  write(
    target: Backend | null,
    candidate: Route["candidate"] = null,
    failure: Failure | null = null,
  ): void {
    const route = { sequence: ++this.#sequence, target, candidate, failure } satisfies Route;
    writeFileSync(join(this.folder, ROUTE_FILE), JSON.stringify(route));
    this.process.kill("SIGHUP");
  }

  async kill(): Promise<void> {
    const { process } = this;
    if (process.exitCode !== null || process.signalCode !== null) return;
    process.kill("SIGKILL");
    await once(process, "exit");
  }

  /** Writes the route and waits until the door follows it. */
  async route(...route: Parameters<Door["write"]>): Promise<void> {
    this.write(...route);
    await vi.waitFor(() => expect(this.state()?.sequence).toBe(this.#sequence), WAIT);
  }

  state(): DoorState | null {
    return readState(this.#said);
  }

  /** How often it has said its state. */
  get states(): number {
    return this.#said.length;
  }
}

const WAIT = { timeout: 10_000, interval: 5 };

async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function openDoor(first: Backend | null = null): Promise<Door> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-door-"));
  writeFileSync(
    join(folder, ROUTE_FILE),
    JSON.stringify({ sequence: 0, target: first, candidate: null, failure: null } satisfies Route),
  );
  const door = new Door(folder, await freePort());
  onTestFinished(async () => {
    await door.kill();
    rmSync(folder, { recursive: true });
  });
  await vi.waitFor(() => expect(door.state()).not.toBeNull(), WAIT);
  return door;
}

async function serve(listener: RequestListener): Promise<{ server: Server; at: Backend }> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { server, at: { host: "127.0.0.1", port: (server.address() as AddressInfo).port } };
}

const saying = (word: string) => serve((_request, response) => response.end(word));

/** Without an agent of its own, on a connection of its own. */
function ask(door: Door, agent: Agent = new Agent()): Promise<string> {
  return new Promise((resolve, reject) => {
    get(door.url, { agent }, (response) => resolve(text(response))).on("error", reject);
  });
}

test("new connections go where the route says, and those that are open stay where they are", async () => {
  const [one, other] = [await saying("one"), await saying("other")];
  const door = await openDoor(one.at);
  const kept = new Agent({ keepAlive: true, maxSockets: 1 });
  onTestFinished(() => kept.destroy());
  expect(await ask(door, kept)).toBe("one");
  await door.route(other.at);
  expect(await ask(door)).toBe("other");
  expect(await ask(door, kept)).toBe("one");
});

test("no request is lost while the route changes again and again under load", async () => {
  const backends = [await saying("a"), await saying("b")];
  const door = await openDoor(backends[0]?.at ?? null);
  const answers: string[] = [];
  let switching = true;
  const client = async () => {
    while (switching) answers.push(await ask(door));
  };
  const clients = Promise.all([client(), client(), client()]);
  for (let turn = 1; turn <= 20; turn++) {
    const seen = answers.length;
    await door.route(backends[turn % 2]?.at ?? null);
    await vi.waitFor(() => expect(answers.length).toBeGreaterThan(seen + 3), WAIT);
  }
  switching = false;
  await clients;
  expect(new Set(answers)).toEqual(new Set(["a", "b"]));
});

test("a connection waits for a service that is not there yet, and for a route", async () => {
  const door = await openDoor();
  const waiting = ask(door);
  const port = await freePort();
  await door.route({ host: "127.0.0.1", port });
  const late = createServer((_request, response) => response.end("late")).listen(port, "127.0.0.1");
  onTestFinished(() => void late.close());
  expect(await waiting).toBe("late");
});

/** A service that has gone in a way that nobody notices: connections to it are neither taken nor refused. */
async function vanished(): Promise<Backend> {
  const program = `require("node:net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 },
    function () { console.log(this.address().port); })`;
  const service = spawn(process.execPath, ["-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void service.kill("SIGKILL"));
  const [line] = await once(service.stdout, "data");
  const at = { host: "127.0.0.1", port: Number(line) };
  service.kill("SIGSTOP");
  const sockets: Socket[] = [];
  onTestFinished(() => sockets.forEach((one) => void one.destroy()));
  // The system takes some for it; from then on none.
  await vi.waitFor(() => {
    const socket = connect(at).on("error", () => undefined);
    sockets.push(socket);
    expect(sockets.filter(({ connecting }) => connecting).length).toBeGreaterThan(5);
  }, WAIT);
  return at;
}

test.runIf(process.platform === "linux")(
  "a connection to a service that vanished goes to the one that follows it",
  async () => {
    const door = await openDoor(await vanished());
    const asked = [ask(door), ask(door)];
    const { at } = await saying("the next one");
    await door.route(at);
    expect(await Promise.all(asked)).toEqual(["the next one", "the next one"]);
  },
);

test("the whole of a long answer arrives, although the service closes at once", async () => {
  const body = "x".repeat(8_000_000);
  const { at } = await serve((_request, response) =>
    response.writeHead(200, { connection: "close" }).end(body),
  );
  expect((await ask(await openDoor(at))).length).toBe(body.length);
});

test("a client that hangs up is gone for the service too, and one that only ends its sending is answered", async () => {
  const gone = Promise.withResolvers<void>();
  const { at } = await serve((_request, response) => {
    response.on("close", () => gone.resolve());
    client.destroy();
  });
  const door = await openDoor(at);
  const client = connect(door.port, "127.0.0.1");
  client.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await gone.promise;
  const echo = createTcpServer({ allowHalfOpen: true }, (socket) => {
    socket.on("end", () => socket.end("after the end"));
    socket.resume();
  }).listen(0, "127.0.0.1");
  await once(echo, "listening");
  onTestFinished(() => void echo.close());
  await door.route({ host: "127.0.0.1", port: (echo.address() as AddressInfo).port });
  const half = connect({ port: door.port, host: "127.0.0.1", allowHalfOpen: true });
  half.end("hello");
  expect(await text(half)).toBe("after the end");
});

test("a candidate takes over once it is ready for its revision, and until then the state says why not", async () => {
  let status = 503;
  let revision = "r1";
  const { at } = await serve((request, response) => {
    if (request.url !== "/health/ready") return response.end("new");
    return response.writeHead(status).end(JSON.stringify({ revision }));
  });
  const old = await saying("old");
  const door = await openDoor(old.at);
  const detail = (): string | null => door.state()?.candidate?.detail ?? null;
  const nobody = { host: "127.0.0.1", port: await freePort(), revision: "r2" };
  await door.route(old.at, nobody);
  await vi.waitFor(() => expect(detail()).toBe("ECONNREFUSED"), WAIT);
  await door.route(old.at, { ...at, revision: "r2" });
  await vi.waitFor(() => expect(detail()).toBe("it answers 503"), WAIT);
  status = 200;
  await vi.waitFor(() => expect(detail()).toBe("it serves revision r1"), WAIT);
  expect(await ask(door)).toBe("old");
  revision = "r2";
  await vi.waitFor(() => expect(door.state()).toMatchObject({ target: at, candidate: null }), WAIT);
  expect(await ask(door)).toBe("new");
});

test("a route that cannot be read changes nothing", async () => {
  const { at } = await saying("still");
  const door = await openDoor(at);
  writeFileSync(join(door.folder, ROUTE_FILE), '{"sequence": 9, "tar');
  door.process.kill("SIGHUP");
  expect(await ask(door)).toBe("still");
  await door.route(at);
  expect(await ask(door)).toBe("still");
});

async function restart(door: Door): Promise<Door> {
  await door.kill();
  const next = new Door(door.folder, door.port);
  onTestFinished(() => next.kill());
  await vi.waitFor(() => expect(next.state()).not.toBeNull(), WAIT);
  return next;
}

test("it goes on with its route after a restart", async () => {
  const { at } = await saying("again");
  expect(await ask(await restart(await openDoor(at)))).toBe("again");
});

test("a candidate that took over stays the target after a restart, ready or not", async () => {
  const revision = "r2";
  let status = 200;
  const { at } = await serve((request, response) => {
    if (request.url !== "/health/ready") return response.end("new");
    return response.writeHead(status).end(JSON.stringify({ revision }));
  });
  const old = await saying("old");
  const door = await openDoor(old.at);
  await door.route(old.at, { ...at, revision });
  await vi.waitFor(() => expect(door.state()).toMatchObject({ target: at, candidate: null }), WAIT);
  status = 503;
  const next = await restart(door);
  expect(next.state()).toMatchObject({ target: at, candidate: null });
  expect(await ask(next)).toBe("new");
});

test("it keeps what it is told of a failure, also over a restart, and says it all again when it is asked", async () => {
  const door = await openDoor();
  const error = { class: "platform", code: "CONTAINER_EXITED", message: "It ended." } as const;
  const failure = { revision: "r1", error: { ...error, action: "See.", retryable: false } };
  await door.route(null, null, failure);
  expect(door.state()?.failure).toMatchObject(failure);
  const next = await restart(door);
  expect(next.state()?.failure).toMatchObject(failure);
  const said = next.states;
  next.process.kill("SIGHUP");
  await vi.waitFor(() => expect(next.states).toBeGreaterThan(said), WAIT);
  expect(next.state()?.failure).toMatchObject(failure);
});
