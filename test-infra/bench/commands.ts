import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Client } from "millrace";
import { type Result, round } from "./results.ts";
import { BARE_SERVER, firstLine, PIPELINE, startDeployment } from "./servers.ts";
import { median, medianRatio } from "./statistics.ts";

const COMMAND = fileURLToPath(
  new URL("../../node_modules/millrace/bin/millrace.js", import.meta.url),
);

/** Runs a process to its end and gives its wall time in seconds. @throws Error when it fails. */
function seconds(args: readonly string[], home: string): number {
  const began = performance.now();
  const { status, stderr, stdout } = spawnSync(process.execPath, args, {
    encoding: "utf8",
    env: { ...process.env, MILLRACE_HOME: home },
  });
  if (status !== 0) throw new Error(`${args.join(" ")} failed: ${stderr}${stdout}`);
  return (performance.now() - began) / 1000;
}

const times = <T>(count: number, run: (round: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => run(i));

/** `millrace --version` beside an empty Node program. */
export function benchVersion(home: string, rounds: number): Result {
  const pairs = times(rounds, () => ({
    own: seconds([COMMAND, "--version"], home),
    node: seconds(["-e", "0"], home),
  }));
  const own = pairs.map((pair) => pair.own);
  const node = pairs.map((pair) => pair.node);
  return {
    key: "cli.version",
    value: medianRatio(own, node),
    unit: "ratio",
    budget: { atMost: 1.5 },
    detail: `${round(median(own) * 1000)} over ${round(median(node) * 1000)} ms`,
  };
}

/** `millrace deploy` until it returns: a fresh deployment, and the same again with nothing changed. */
export function benchDeploy(home: string, rounds: number): Result[] {
  const deploy = (name: string) => [
    COMMAND,
    "deploy",
    `${PIPELINE}#untracked`,
    "--name",
    name,
    "--yes",
    "--quiet",
  ];
  const first: number[] = [];
  const again: number[] = [];
  for (let i = 0; i < rounds; i++) {
    first.push(seconds(deploy("timed"), home));
    again.push(seconds(deploy("timed"), home));
    seconds([COMMAND, "deployment", "delete", "timed", "--yes", "--quiet"], home);
  }
  const result = (key: string, values: readonly number[], atMost: number): Result => ({
    key,
    value: median(values),
    unit: "seconds",
    budget: { atMost },
    detail: `median of ${values.length}, from ${round(Math.min(...values))} to ${round(Math.max(...values))} s`,
  });
  return [result("deploy.local", first, 2), result("deploy.unchanged", again, 0.5)];
}

/** `millrace deployment list` in a home with many records. */
export function benchList(home: string, rounds: number, detail: string): Result {
  const values = times(rounds, () => seconds([COMMAND, "deployment", "list"], home));
  return {
    key: "cli.list",
    value: median(values),
    unit: "seconds",
    budget: { atMost: 0.4 },
    detail,
  };
}

/** From the start of a server's process to the first 200, ours beside the bare one, each on a port of its own. */
export async function benchColdStart(client: Client, rounds: number): Promise<Result> {
  const own: number[] = [];
  const bare: number[] = [];
  const { args, env } = await processOfDeployment(client);
  for (let i = 0; i < rounds; i++) {
    bare.push(await firstAnswer([BARE_SERVER], { ...process.env, NODE_ENV: "production" }));
    own.push(await firstAnswer(args, env));
  }
  return {
    key: "start.cold",
    value: medianRatio(own, bare),
    unit: "ratio",
    budget: { atMost: 1.5 },
    detail: `${round(median(own) * 1000)} over ${round(median(bare) * 1000)} ms`,
  };
}

/** How the local deployer starts a worker: taken from one that runs. */
async function processOfDeployment(
  client: Client,
): Promise<{ readonly args: string[]; readonly env: NodeJS.ProcessEnv }> {
  const server = await startDeployment(client, "tracked", "async");
  try {
    const read = (file: string): string[] =>
      readFileSync(`/proc/${server.pid}/${file}`, "utf8").split("\0").filter(Boolean);
    const env = Object.fromEntries(
      read("environ").map((line) => [
        line.slice(0, line.indexOf("=")),
        line.slice(line.indexOf("=") + 1),
      ]),
    );
    const { NODE_CHANNEL_FD: _fd, NODE_CHANNEL_SERIALIZATION_MODE: _mode, ...plain } = env;
    return { args: read("cmdline").slice(1), env: { ...plain, HOST: "127.0.0.1", PORT: "0" } };
  } finally {
    await server.stop();
  }
}

async function firstAnswer(args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const began = performance.now();
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"], env });
  try {
    const line = await firstLine(child);
    const port = /^(\d+)$|127\.0\.0\.1:(\d+)/.exec(line)?.slice(1).find(Boolean);
    const response = await fetch(`http://127.0.0.1:${port}/health/ready`);
    if (!response.ok) throw new Error(`answered ${response.status}`);
    return (performance.now() - began) / 1000;
  } finally {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }
}
