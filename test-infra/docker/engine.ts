import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { answers } from "./engine-api.ts";

export const DEFAULT_SOCKET = "/var/run/docker.sock";
const START_MS = 60_000;
const STOP_MS = 60_000;
const POLL_MS = 100;
/** Debian's package, and what its engine needs for ports that are published. */
const PACKAGES = ["docker.io", "iptables"];

/** A Docker engine on this machine. */
export interface TestEngine {
  readonly socket: string;
  /** Whether it is one of our own, that nobody else uses. */
  readonly isPrivate: boolean;
  /** Ends it, if it was started for this. */
  stop(): Promise<void>;
}

/** An engine of our own, in a folder that goes with it. */
export interface PrivateEngine extends TestEngine {
  /** Stops it and starts it again with its containers and images, as after a restart of the machine's service. */
  restart(): Promise<void>;
}

/** The socket of an engine that is there: that of DOCKER_HOST, else the default one. */
export async function findEngine(): Promise<string | undefined> {
  const host = process.env["DOCKER_HOST"];
  const candidates = host?.startsWith("unix://") ? [host.slice(7)] : [DEFAULT_SOCKET];
  for (const socket of candidates) if (await answers(socket)) return socket;
  return undefined;
}

/** Why no engine can be started here; undefined when one can. Installs Docker where this is Debian and the user may. */
export function provideDockerd(): string | undefined {
  if (process.platform !== "linux") return "no Docker engine answers; start Docker";
  if (process.getuid?.() !== 0)
    return "no Docker engine answers (DOCKER_HOST, else the default socket), and only root can start one";
  if (onPath("dockerd")) return undefined;
  return install(PACKAGES, "dockerd");
}

/** Why there is no registry here; undefined when there is one. Installs Debian's where the user may. */
export function provideRegistry(): string | undefined {
  if (onPath("docker-registry")) return undefined;
  if (process.getuid?.() !== 0)
    return "docker-registry is not installed, and only root on Debian or Ubuntu can have it installed";
  return install(["docker-registry"], "docker-registry");
}

function install(packages: readonly string[], program: string): string | undefined {
  if (!existsSync("/usr/bin/apt-get")) return `${program} is not installed`;
  for (const args of [["update"], ["install", "--yes", "--no-install-recommends", ...packages]]) {
    const { status, stderr } = spawnSync("apt-get", ["-qq", ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
      encoding: "utf8",
    });
    if (status !== 0) return `apt-get ${args[0]} failed: ${stderr.trim().split("\n").at(-1)}`;
  }
  return onPath(program) ? undefined : `the packages ${packages.join(", ")} brought no ${program}`;
}

export function onPath(program: string): boolean {
  return spawnSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" }).status === 0;
}

/** The engine that is there, else one of our own, else why there is none. */
export async function provideEngine(): Promise<TestEngine | { readonly missing: string }> {
  const socket = await findEngine();
  if (socket !== undefined) return { socket, isPrivate: false, stop: async () => undefined };
  const missing = provideDockerd();
  return missing === undefined ? startEngine() : { missing };
}

/** Starts an engine that ends with `stop`, or soon after this process, and leaves nothing. */
export async function startEngine(): Promise<PrivateEngine> {
  // A socket's path has at most 107 characters.
  const folder = mkdtempSync(join(tmpdir(), "millrace-engine-"));
  const socket = join(folder, "docker.sock");
  let daemon = await startDaemon(folder, socket);
  const end = (): void => void daemon.kill("SIGTERM");
  process.once("exit", end);
  return {
    socket,
    isPrivate: true,
    async restart() {
      await stopDaemon(daemon);
      daemon = await startDaemon(folder, socket);
    },
    async stop() {
      process.off("exit", end);
      await stopDaemon(daemon);
      unmountBelow(folder);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function startDaemon(folder: string, socket: string): Promise<ChildProcess> {
  const log = openSync(join(folder, "log"), "a");
  const daemon = spawn(
    "dockerd",
    [
      ["--host", `unix://${socket}`],
      ["--data-root", join(folder, "data")],
      ["--exec-root", join(folder, "exec")],
      ["--pidfile", join(folder, "pid")],
    ].flat(),
    { stdio: ["ignore", log, log] },
  );
  closeSync(log);
  await untilAnswers(daemon, socket, join(folder, "log"));
  return daemon;
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

async function stopDaemon(daemon: ChildProcess): Promise<void> {
  if (daemon.exitCode !== null || daemon.signalCode !== null) return;
  const exited = once(daemon, "exit");
  daemon.kill("SIGTERM");
  const timer = setTimeout(() => daemon.kill("SIGKILL"), STOP_MS);
  await exited;
  clearTimeout(timer);
}

/** What a daemon that was killed left mounted. */
function unmountBelow(folder: string): void {
  const mounts = readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .flatMap((line) => line.split(" ")[1] ?? [])
    .filter((place) => place.startsWith(`${folder}/`));
  for (const place of mounts.reverse()) spawnSync("umount", ["--lazy", place]);
}

/** Starts the machine's own engine at the default socket and leaves it running. */
export async function startMachineEngine(): Promise<string> {
  const log = join(tmpdir(), "millrace-dockerd.log");
  const file = openSync(log, "a");
  const daemon = spawn("dockerd", [], { detached: true, stdio: ["ignore", file, file] });
  closeSync(file);
  await untilAnswers(daemon, DEFAULT_SOCKET, log);
  daemon.unref();
  return DEFAULT_SOCKET;
}
