/**
 * A load generator that holds a rate whatever the server does, for latencies that can be trusted. Request n is due at
 * n / rate; its latency counts from then, so that what waits for a free connection, behind a slow answer, counts too. One
 * thread that never sleeps, prepared bytes, answers read no further than needed: it can send several times what the servers
 * under test take.
 *
 * `node open-loop.ts URL CONNECTIONS RATE SECONDS BODY` prints a line of JSON, `OpenLoopReport`. The first second warms up
 * and is not measured. Exits with 1 at the first answer that is not 200, at a lost connection, or when answers are missing
 * 5 s after the end.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** Milliseconds. */
export interface OpenLoopReport {
  readonly p50: number;
  readonly p99: number;
  /** How late the generator itself was, 99th percentile: from when a request was due and a connection free. */
  readonly ownP99: number;
}

const WARM_UP_MS = 1000;
const LAST_ANSWER_MS = 5000;
const HEAD_END = "\r\n\r\n";

const [target = "", connections = "", rate = "", seconds = "", body = ""] = process.argv.slice(2);
const url = new URL(target);
const request = Buffer.from(
  `POST ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}${HEAD_END}${body}`,
);
const perMs = Number(rate) / 1000;
const count = Math.round(perMs * (WARM_UP_MS + Number(seconds) * 1000));
const warmUps = Math.round(perMs * WARM_UP_MS);
const latencies = new Float64Array(count);
const delays = new Float64Array(count);

/** The one that is free longest comes first. */
const free: Socket[] = [];
/** The request that each connection carries. */
const inFlight = new Map<Socket, number>();
/** When the first of the free ones became free, if all were busy before. */
let freeSince = 0;
let sent = 0;
let answered = 0;
let start = 0;

function fail(why: string): never {
  process.stderr.write(`${why}\n`);
  process.exit(1);
}

function dueAt(index: number): number {
  return start + index / perMs;
}

function send(): void {
  const now = performance.now();
  while (sent < count && dueAt(sent) <= now) {
    const socket = free.shift();
    if (socket === undefined) return;
    delays[sent] = now - Math.max(dueAt(sent), freeSince);
    inFlight.set(socket, sent++);
    socket.write(request);
  }
}

/** Takes an answer apart as far as needed: no pipelining, so it ends where its declared length says. */
function open(): Socket {
  const socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true });
  let received = "";
  socket.on("error", (error) => fail(`A connection failed: ${error.message}`));
  socket.on("close", () => fail("The server closed a connection."));
  socket.setEncoding("latin1");
  socket.on("data", (text: string) => {
    received += text;
    const head = received.indexOf(HEAD_END);
    if (head < 0) return;
    const length = /content-length: *(\d+)/i.exec(received.slice(0, head))?.[1];
    if (length === undefined) fail("An answer has no Content-Length.");
    if (received.length < head + HEAD_END.length + Number(length)) return;
    if (!received.startsWith("HTTP/1.1 200 ")) fail(`A wrong answer: ${received}`);
    received = "";
    const index = inFlight.get(socket);
    if (index === undefined) fail("An answer to no request.");
    const now = performance.now();
    latencies[index] = now - dueAt(index);
    answered += 1;
    if (free.length === 0) freeSince = now;
    free.push(socket);
    send();
  });
  return socket;
}

function percentile(values: Float64Array, share: number): number {
  const sorted = values.slice(warmUps).sort();
  return sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN;
}

const sockets = Array.from({ length: Number(connections) }, open);
await Promise.all(sockets.map((socket) => once(socket, "connect")));
free.push(...sockets);
start = performance.now();
const end = dueAt(count) + LAST_ANSWER_MS;

const turn = (): void => {
  send();
  if (answered < count) {
    if (performance.now() > end) fail(`${count - answered} of ${count} answers are missing.`);
    setImmediate(turn);
    return;
  }
  const report: OpenLoopReport = {
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
    ownP99: percentile(delays, 0.99),
  };
  process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
};
turn();
