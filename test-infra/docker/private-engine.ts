import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import Docker from "dockerode";
import { z } from "zod";
import { findProgram, SEARCH_PATH } from "./debian.ts";
import { makeNetwork, removeNetwork } from "./engine-network.ts";

const PREFIX = "millrace-engine-";
const DATA = "data";
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 60_000;
const POLL_MS = 50;
/** Lines of the engine's log that an error shows. */
const SHOWN_LINES = 20;

/** What an engine of our own needs: its programs, and Debian's packages that bring them. */
export const ENGINE_PROGRAMS = ["dockerd", "containerd", "iptables", "ip", "setpriv"] as const;
export const ENGINE_PACKAGES = ["docker.io", "iptables", "iproute2", "util-linux"] as const;

export interface EngineOptions {
  /** Room for all that it keeps, in memory. Default: that of the machine's disk. */
  readonly diskBytes?: number;
}

/** A Docker engine that is ours alone, with all that it has in one folder. Ends at the latest with our process. */
export class PrivateEngine {
  /** Path of its socket. */
  readonly socket: string;
  readonly docker: Docker;
  readonly #folder: string;
  #process: ChildProcess | undefined;

  private constructor({ diskBytes }: EngineOptions) {
    // A socket's path has at most 107 characters.
    const folder = mkdtempSync(join(tmpdir(), PREFIX));
    writeFileSync(join(folder, "owner"), JSON.stringify(ownerOf(process.pid)));
    this.#folder = folder;
    if (diskBytes !== undefined) mountDisk(join(folder, DATA), diskBytes);
    this.socket = join(folder, "docker.sock");
    this.docker = new Docker({ socketPath: this.socket });
    const { bridge, pool } = makeNetwork();
    writeFileSync(join(folder, "bridge"), bridge);
    // All in the file, so that the machine's /etc/docker/daemon.json has no say.
    const configuration = {
      hosts: [`unix://${this.socket}`],
      "data-root": join(folder, DATA),
      "exec-root": join(folder, "exec"),
      pidfile: join(folder, "pid"),
      bridge,
      "default-address-pools": [{ base: pool, size: 24 }],
      iptables: false,
      "ip-masq": false,
    };
    writeFileSync(join(folder, "daemon.json"), JSON.stringify(configuration));
  }

  /**
   * Makes an engine and starts it. What engines left whose processes were killed goes first.
   * @throws Error with the end of the engine's log
   */
  static async make(options: EngineOptions = {}): Promise<PrivateEngine> {
    for (const folder of globSync(`${PREFIX}*`, { cwd: tmpdir() }))
      await sweep(join(tmpdir(), folder));
    const engine = new PrivateEngine(options);
    try {
      await engine.start();
    } catch (error) {
      await engine.#end("SIGKILL");
      removeRemains(engine.#folder);
      throw error;
    }
    return engine;
  }

  /** The folder that it keeps all in. */
  get data(): string {
    return join(this.#folder, DATA);
  }

  /** What stands in its log. */
  get log(): string {
    return readFileSync(join(this.#folder, "log"), "utf8");
  }

  /** Starts it again after `stop` or `kill`: the same images and containers; those with a restart policy run again. */
  async start(): Promise<void> {
    if (this.#process !== undefined) return;
    const log = openSync(join(this.#folder, "log"), "a");
    this.#process = spawn(
      findProgram("setpriv") ?? "setpriv",
      [
        "--pdeathsig",
        "SIGTERM",
        findProgram("dockerd") ?? "dockerd",
        "--config-file",
        join(this.#folder, "daemon.json"),
      ],
      // A session of its own, so that Ctrl-C reaches it through us alone, when we are done.
      {
        stdio: ["ignore", log, log],
        detached: true,
        env: { ...process.env, PATH: SEARCH_PATH },
      },
    );
    closeSync(log);
    this.#process.unref();
    await until("answer", START_TIMEOUT_MS, async () => {
      this.#mustRun();
      return this.docker.ping().then(
        () => true,
        () => false,
      );
    });
  }

  /** Ends it in good order, with its containers. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
  }

  /** Ends it at once; its containers go on until it starts again. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Ends it, and removes all that it has. */
  async remove(): Promise<void> {
    // After a kill, only an engine can end the containers that are left.
    await this.start();
    for (const { Id } of await this.docker.listContainers({ all: true }))
      await this.docker.getContainer(Id).remove({ force: true, v: true }).catch(unlessGone);
    const networks = await this.docker.listNetworks({ filters: { type: ["custom"] } });
    for (const { Id } of networks) await this.docker.getNetwork(Id).remove().catch(unlessGone);
    await this.stop();
    removeRemains(this.#folder);
  }

  #mustRun(): void {
    const code = this.#process?.exitCode ?? this.#process?.signalCode ?? null;
    if (code === null) return;
    const said = this.log.trimEnd().split("\n").slice(-SHOWN_LINES).join("\n");
    throw new Error(`The Docker engine ended (${code}):\n${said}`);
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const engine = this.#process;
    this.#process = undefined;
    if (engine === undefined) return;
    const containerdFile = join(this.#folder, "exec/containerd/containerd.pid");
    const containerd = pidIn(containerdFile);
    if (engine.exitCode === null && engine.signalCode === null) {
      const ended = once(engine, "exit", { signal: AbortSignal.timeout(STOP_TIMEOUT_MS) });
      // Else we might end before it does.
      engine.ref();
      engine.kill(signal);
      await ended;
    }
    if (containerd !== undefined)
      await until("end with its containerd", STOP_TIMEOUT_MS, async () => !runs(containerd));
    // Until somebody asks about a process that was killed, the next engine takes it for running.
    rmSync(containerdFile, { force: true });
  }
}

function mountDisk(folder: string, bytes: number): void {
  mkdirSync(folder);
  const options = ["-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", folder];
  const { status, stderr } = spawnSync("mount", options, { encoding: "utf8" });
  if (status !== 0) throw new Error(`No disk could be made for an engine: ${stderr}`);
}

/** Removes what an engine left whose owner is no more. It ends with its owner, which may take it a while. */
async function sweep(folder: string): Promise<void> {
  const owner = join(folder, "owner");
  if (!existsSync(owner)) return;
  const [pid, since] = ownerSchema.parse(JSON.parse(readFileSync(owner, "utf8")));
  if (ownerOf(pid)[1] === since) return;
  const daemon = pidIn(join(folder, "pid"));
  if (daemon !== undefined && commandOf(daemon).includes(folder))
    await until("end after its owner", STOP_TIMEOUT_MS, async () => !runs(daemon));
  removeRemains(folder);
}

const ownerSchema = z.tuple([z.number(), z.string()]);

/** A process: its number, and when it started, since numbers are given out again. */
function ownerOf(pid: number): z.infer<typeof ownerSchema> {
  const file = `/proc/${pid}/stat`;
  // The name before may have spaces in it; proc_pid_stat(5): field 22.
  const fields = existsSync(file) ? (readFileSync(file, "utf8").split(") ").at(-1) ?? "") : "";
  return [pid, fields.split(" ")[19] ?? ""];
}

/** Removes the bridge, the mounts and the folder of an engine that has ended. */
function removeRemains(folder: string): void {
  const bridge = join(folder, "bridge");
  if (existsSync(bridge)) removeNetwork(readFileSync(bridge, "utf8"));
  const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
  const ours = mounts.flatMap((line) => line.split(" ")[1] ?? []);
  for (const mount of ours.filter((path) => path.startsWith(`${folder}/`)).reverse())
    spawnSync("umount", ["--lazy", mount]);
  rmSync(folder, { recursive: true, force: true });
}

function pidIn(file: string): number | undefined {
  return existsSync(file) ? Number(readFileSync(file, "utf8")) : undefined;
}

function commandOf(pid: number): string {
  const file = `/proc/${pid}/cmdline`;
  return existsSync(file) ? readFileSync(file, "utf8") : "";
}

/** A process that has ended and that nobody asked about is a zombie, with no command. */
function runs(pid: number): boolean {
  return commandOf(pid) !== "";
}

async function until(
  what: string,
  timeoutMs: number,
  holds: () => Promise<boolean>,
): Promise<void> {
  for (const end = Date.now() + timeoutMs; !(await holds()); await sleep(POLL_MS))
    if (Date.now() > end)
      throw new Error(`The Docker engine did not ${what} within ${timeoutMs / 1000} s.`);
}

function unlessGone(error: { readonly statusCode?: number }): void {
  if (error.statusCode !== 404 && error.statusCode !== 409) throw error;
}
