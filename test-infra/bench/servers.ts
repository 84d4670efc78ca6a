import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Client } from "millrace";
import { z } from "zod";
import { SERVER_CORE } from "./load.ts";

export const PIPELINE = fileURLToPath(new URL("./pipeline.ts", import.meta.url));
export const BARE_SERVER = fileURLToPath(new URL("./bare-server.ts", import.meta.url));

/** A server under test: where it answers and which process does the work. */
export interface Server {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** What the local deployer tells of its processes. */
const processesSchema = z.object({
  supervisor: z.int(),
  workers: z.tuple([z.object({ pid: z.int() })]),
});

/** Starts servers on their core: what this process starts meanwhile inherits its core, and sees a machine of one. */
export async function onServerCore<T>(start: () => Promise<T>): Promise<T> {
  const before = taskset("-p", String(process.pid)).split(":").at(-1)?.trim() ?? "";
  taskset("-a", "-c", "-p", String(SERVER_CORE), String(process.pid));
  try {
    return await start();
  } finally {
    taskset("-a", "-p", before, String(process.pid));
  }
}

function taskset(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync("taskset", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`taskset failed: ${stderr}`);
  return stdout;
}

/** The first line that a process prints. */
export async function firstLine(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error("stdout is not piped");
  for await (const line of createInterface({ input: child.stdout })) return line;
  throw new Error("the process ended without a line");
}

export async function startBare(): Promise<Server> {
  const child = spawn(process.execPath, [BARE_SERVER], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, NODE_ENV: "production" },
  });
  const port = await firstLine(child);
  if (child.pid === undefined) throw new Error("no process");
  return {
    name: "bare",
    url: `http://127.0.0.1:${port}`,
    pid: child.pid,
    stop: async () => {
      const ended = once(child, "exit");
      child.kill();
      await ended;
    },
  };
}

/** Deploys the two-step pipeline with the local deployer, as users do. */
export async function startDeployment(
  client: Client,
  name: "untracked" | "tracked" | "synchronous",
  mode: "off" | "async" | "sync",
): Promise<Server> {
  const { deployment } = await client.deploy(`${PIPELINE}#${name}`, {
    name,
    serving: { tracking: { mode } },
  });
  const { metadata, url } = deployment;
  const { workers } = processesSchema.parse(metadata);
  const [{ pid }] = workers;
  if (url === null) throw new Error(`The deployment ${name} has no URL`);
  return { name, url, pid, stop: async () => void (await client.deployments.delete(name)) };
}

/** Resident memory of a process in bytes. Linux only, as pinning is. */
export function residentBytes(pid: number): number {
  const kilobytes = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kilobytes) * 1024;
}
