import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { findEngine as findEndpoint } from "../../packages/deployer-docker/src/engine-endpoint.ts";
import { providePrograms } from "./debian.ts";
import { answers } from "./engine-api.ts";
import {
  ENGINE_PACKAGES,
  ENGINE_PROGRAMS,
  type EngineOptions,
  PrivateEngine,
} from "./private-engine.ts";

export type { PrivateEngine };

export const DEFAULT_SOCKET = "/var/run/docker.sock";
const START_MS = 60_000;
const POLL_MS = 100;

/** A Docker engine on this machine. */
export interface TestEngine {
  readonly socket: string;
  /** Whether it is one of our own, that nobody else uses. */
  readonly isPrivate: boolean;
  /** Ends it, if it was started for this. */
  stop(): Promise<void>;
}

/** The socket of an engine that is there, found as Docker's own command does it: DOCKER_HOST, the context, the usual one. */
export async function findEngine(): Promise<string | undefined> {
  const endpoint = await findEndpoint(undefined);
  return endpoint.kind === "socket" && (await answers(endpoint.path)) ? endpoint.path : undefined;
}

/** Why no engine can be started here; undefined when one can. Installs Docker where this is Debian and the user may. */
export function provideDockerd(): string | undefined {
  if (process.platform !== "linux") return "no Docker engine answers; start Docker";
  if (process.getuid?.() !== 0)
    return "no Docker engine answers (DOCKER_HOST, the current context, the default socket), and only root can start one";
  return providePrograms(ENGINE_PROGRAMS, ENGINE_PACKAGES);
}

/** Why there is no registry here; undefined when there is one. Installs Debian's where the user may. */
export function provideRegistry(): string | undefined {
  return providePrograms(["docker-registry", "openssl"], ["docker-registry", "openssl"]);
}

/** The engine that is there, else one of our own, else why there is none. */
export async function provideEngine(): Promise<TestEngine | { readonly missing: string }> {
  const socket = await findEngine();
  if (socket !== undefined) return { socket, isPrivate: false, stop: async () => undefined };
  const missing = provideDockerd();
  if (missing !== undefined) return { missing };
  const engine = await startEngine();
  return { socket: engine.socket, isPrivate: true, stop: () => engine.remove() };
}

/** Starts an engine that nobody else uses, for tests that stop or kill it. Any number can stand side by side. */
export function startEngine(options: EngineOptions = {}): Promise<PrivateEngine> {
  return PrivateEngine.make(options);
}

/** Starts the machine's own engine at the default socket and leaves it running, which it says with how to end it. */
export async function startMachineEngine(say: (message: string) => void): Promise<string> {
  const log = join(tmpdir(), "millrace-dockerd.log");
  const file = openSync(log, "a");
  const daemon = spawn("dockerd", [], { detached: true, stdio: ["ignore", file, file] });
  closeSync(file);
  await untilAnswers(daemon, DEFAULT_SOCKET, log);
  daemon.unref();
  say(`It stays, with its containers, until you end it: kill ${daemon.pid}. Its log is ${log}.`);
  return DEFAULT_SOCKET;
}

async function untilAnswers(daemon: ChildProcess, socket: string, log: string): Promise<void> {
  const deadline = Date.now() + START_MS;
  while (!(await answers(socket))) {
    if (daemon.exitCode !== null || Date.now() > deadline) {
      daemon.kill("SIGKILL");
      const lines = readFileSync(log, "utf8").trim().split("\n").slice(-10).join("\n");
      throw new Error(`dockerd did not start:\n${lines}`);
    }
    await sleep(POLL_MS);
  }
}
