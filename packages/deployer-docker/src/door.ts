/**
 * The program of a deployment's door container: `node door.js FOLDER PORT`. It holds the published port for as long as the
 * deployment lives, and hands each connection to the service container that the route names, so that updates change neither
 * the URL nor lose a request. It runs alone inside the container: only Node's own modules are there.
 */
import { Resolver } from "node:dns/promises";
import { readFileSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { connect, createServer, isIP, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Backend, DoorState, Route } from "./door-contract.ts";

/** How long a connection waits for a service that cannot be reached, such as one that restarts, in milliseconds. */
const HOLD_MS = 10_000;
const RETRY_MS = 50;
/**
 * How long one try may take, in milliseconds. A container that goes while it is connected to answers no more, and the system
 * would try for two minutes, long after another one serves.
 */
const TRY_MS = 1_000;
/** How long the engine may take to say where a name is, in milliseconds. */
const LOOKUP_MS = 1_000;
const PROBE_MS = 100;
const PROBE_TIMEOUT_MS = 2_000;
/** Health answers are small; what is longer is none. */
const LARGEST_ANSWER = 65_536;

/** The engine cuts longer lines of a log in pieces. */
const LONGEST_DETAIL = 300;

const [folder = ".", port = "8080"] = process.argv.slice(2);
/** Keeps which route's candidate became the target, so that a restart changes nothing. */
const switchFile = join(folder, "switched");
let route: Route = { sequence: -1, target: null, candidate: null, failure: null };
let told = "";
const resolver = new Resolver({ timeout: LOOKUP_MS, tries: 1 });
/** Questions for addresses that wait for their answer, by name. */
const lookups = new Map<string, Promise<string | null>>();

function followRoute(): void {
  try {
    // The deployer checks what it writes; this program has nothing to check it with.
    const read: Route = JSON.parse(readFileSync(join(folder, "route.json"), "utf8"));
    if (read.sequence !== route.sequence)
      route = readSwitched() === read.sequence ? afterSwitch(read) : read;
  } catch (error) {
    // None is there yet, or it is half written: a signal follows each write.
    process.stderr.write(`door: no route: ${error instanceof Error ? error.message : error}\n`);
    return;
  }
  told = "";
  tell(null);
}

function readSwitched(): number | null {
  try {
    return Number(readFileSync(switchFile, "utf8"));
  } catch {
    // No candidate has become the target yet.
    return null;
  }
}

function keepSwitch({ sequence }: Route): void {
  try {
    writeFileSync(switchFile, String(sequence));
  } catch (error) {
    // On a full disk a restart asks the candidate again.
    process.stderr.write(`door: ${error instanceof Error ? error.message : error}\n`);
  }
}

function afterSwitch(before: Route): Route {
  return { ...before, target: before.candidate ?? before.target, candidate: null };
}

/** Says what is done, and why the candidate is not ready. */
function tell(detail: string | null): void {
  const { sequence, target, candidate, failure } = route;
  const state: DoorState = {
    sequence,
    target: target === null ? null : { host: target.host, port: target.port },
    candidate:
      candidate === null
        ? null
        : { host: candidate.host, detail: detail?.slice(0, LONGEST_DETAIL) ?? null },
    failure,
  };
  const text = JSON.stringify(state);
  if (text === told) return;
  process.stdout.write(`${text}\n`);
  told = text;
}

/** Asks the candidate until it is ready, and sends new connections there from then on. */
async function probe(): Promise<void> {
  for (;;) {
    const asked = route;
    if (asked.candidate !== null) {
      const { revision, detail } = await askReady(asked.candidate);
      // The route may have changed while the answer was on its way.
      if (asked === route) {
        if (revision === asked.candidate.revision) {
          route = afterSwitch(asked);
          keepSwitch(asked);
        }
        tell(detail);
      }
    }
    await sleep(PROBE_MS);
  }
}

interface Readiness {
  readonly revision: string | null;
  readonly detail: string | null;
}

async function askReady({ host, port: at }: Backend): Promise<Readiness> {
  const address = await addressOf(host);
  if (address === null) return { revision: null, detail: "it is not in its network" };
  return askReadyAt(address, at);
}

function askReadyAt(address: string, at: number): Promise<Readiness> {
  return new Promise((resolve) => {
    const fail = (detail: string): void => resolve({ revision: null, detail });
    const asked = get(
      { host: address, port: at, path: "/health/ready", agent: false, timeout: PROBE_TIMEOUT_MS },
      (response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (text: string) => {
          body += text;
          if (body.length > LARGEST_ANSWER) response.destroy();
        });
        response.on("error", ({ message }) => fail(message));
        response.on("end", () => resolve(readAnswer(response.statusCode ?? 0, body)));
      },
    );
    asked.on("timeout", () => asked.destroy(new Error("it does not answer")));
    asked.on("error", (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
  });
}

function readAnswer(status: number, body: string): Readiness {
  const detail = `it answers ${status}`;
  if (status !== 200) return { revision: null, detail };
  try {
    const { revision } = JSON.parse(body);
    return { revision, detail: `it serves revision ${revision}` };
  } catch {
    return { revision: null, detail: "its answer to /health/ready is no JSON" };
  }
}

/** Finds the service, also one that is just starting again, and joins the two ends. */
async function forward(client: Socket): Promise<void> {
  const end = performance.now() + HOLD_MS;
  client.on("error", () => client.destroy());
  while (!client.destroyed && performance.now() < end) {
    const service = route.target === null ? null : await reach(route.target);
    if (service !== null) return splice(client, service);
    await sleep(RETRY_MS);
  }
  client.destroy();
}

async function reach({ host, port: at }: Backend): Promise<Socket | null> {
  const address = await addressOf(host);
  return address === null ? null : open(address, at);
}

function open(address: string, at: number): Promise<Socket | null> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port: at, allowHalfOpen: true, noDelay: true });
    const late = setTimeout(() => socket.destroy(), TRY_MS);
    socket.once("connect", () => {
      clearTimeout(late);
      resolve(socket);
    });
    socket.once("error", () => socket.destroy());
    socket.once("close", () => {
      clearTimeout(late);
      resolve(null);
    });
  });
}

/**
 * Where a service is; null while it does not run. The engine then asks the name servers of its machine, which may never answer.
 * So all who wait share one question, and it is none of the system's own: of those only four can wait at a time, nobody can end
 * them, and another service would not be found for as long.
 */
function addressOf(host: string): Promise<string | null> {
  if (isIP(host) !== 0) return Promise.resolve(host);
  const asked = lookups.get(host) ?? lookUp(host).finally(() => lookups.delete(host));
  lookups.set(host, asked);
  return asked;
}

async function lookUp(host: string): Promise<string | null> {
  try {
    const [address = null] = await resolver.resolve4(host);
    return address;
  } catch {
    // It is asked again for as long as somebody waits.
    return null;
  }
}

/** Each end that is closed closes its other end, and what fails on one side is cut on the other. */
function splice(client: Socket, service: Socket): void {
  if (client.destroyed) return void service.destroy();
  client.pipe(service);
  service.pipe(client);
  client.on("close", () => service.destroy());
  service.on("error", () => client.destroy());
}

process.on("SIGHUP", followRoute);
const server = createServer(
  { allowHalfOpen: true, noDelay: true, pauseOnConnect: true },
  (client) => {
    void forward(client);
  },
);
server.listen(Number(port), "0.0.0.0", () => {
  followRoute();
  void probe();
});
process.on("SIGTERM", () => process.exit(0));
