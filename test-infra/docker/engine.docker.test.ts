import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import type Docker from "dockerode";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { BASE_IMAGE, importBaseImage } from "./base-image.ts";
import { type PrivateEngine, startEngine } from "./engine.ts";

const eventually = { timeout: 30_000, interval: 50 };

/** Processes and mounts that name a folder. */
function traces(folder: string): string[] {
  const commands = globSync("/proc/[0-9]*/cmdline").map(textOf);
  const mounts = textOf("/proc/self/mounts").split("\n");
  return [...commands, ...mounts].filter((text) => text.includes(folder));
}

/** The number of an engine's bridge, which the kernel gives once; its name may be another engine's a moment later. */
const bridgeIn = (folder: string) => numberOf(readFileSync(`${folder}/bridge`, "utf8"));
const numberOf = (bridge: string) => textOf(`/sys/class/net/${bridge}/ifindex`).trim();
const bridges = () => readdirSync("/sys/class/net").map(numberOf);

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    // A process that has ended meanwhile.
    return "";
  }
}

const SLEEP = ["node", "-e", "setInterval(() => {}, 1000); process.on('SIGTERM', process.exit)"];

async function startSleeper(docker: Docker, policy: "always" | "no"): Promise<Docker.Container> {
  const container = await docker.createContainer({
    Image: BASE_IMAGE,
    Cmd: SLEEP,
    HostConfig: { RestartPolicy: { Name: policy } },
  });
  await container.start();
  return container;
}

const isRunning = async (container: Docker.Container) => (await container.inspect()).State.Running;

describe("an engine of a test's own", () => {
  let engine: PrivateEngine;
  beforeAll(async () => {
    engine = await startEngine();
    await importBaseImage(engine.socket);
  });
  afterAll(() => engine.remove());

  it("brings containers with a restart policy back after a stop, and leaves the others", async () => {
    const always = await startSleeper(engine.docker, "always");
    const never = await startSleeper(engine.docker, "no");
    await engine.stop();
    await expect(engine.docker.ping()).rejects.toThrow(/ENOENT|ECONNREFUSED/);
    expect(traces(dirname(engine.socket))).toEqual([]);
    await engine.start();
    await vi.waitFor(async () => expect(await isRunning(always)).toBe(true), eventually);
    expect(await isRunning(never)).toBe(false);
  });

  it("starts again after it was killed", async () => {
    const always = await startSleeper(engine.docker, "always");
    await engine.kill();
    await expect(engine.docker.ping()).rejects.toThrow(/ENOENT|ECONNREFUSED/);
    await engine.start();
    await vi.waitFor(async () => expect(await isRunning(always)).toBe(true), eventually);
  });

  it("stands beside another one, and each has its own containers and networks", async () => {
    const other = await startEngine();
    const subnet = async ({ docker }: PrivateEngine) => {
      const { IPAM }: Docker.NetworkInspectInfo = await docker.getNetwork("bridge").inspect();
      return IPAM?.Config?.[0]?.["Subnet"];
    };
    try {
      expect(await subnet(engine)).not.toBe(await subnet(other));
      await startSleeper(engine.docker, "no");
      expect(await other.docker.listContainers({ all: true })).toEqual([]);
    } finally {
      await other.remove();
    }
    await expect(engine.docker.ping()).resolves.toBeDefined();
  });

  it.each(["runs", "was killed"])(
    "leaves nothing behind when it is removed while it %s",
    async (how) => {
      const removed = await startEngine();
      const folder = dirname(removed.socket);
      const bridge = bridgeIn(folder);
      await importBaseImage(removed.socket);
      await startSleeper(removed.docker, "always");
      const { id } = await removed.docker.createNetwork({ Name: "left" });
      const left = `/sys/class/net/br-${id.slice(0, 12)}`;
      expect(existsSync(left)).toBe(true);
      expect(traces(folder).length).toBeGreaterThan(2);
      expect(bridges()).toContain(bridge);
      if (how === "was killed") await removed.kill();
      await removed.remove();
      expect(traces(folder)).toEqual([]);
      expect(bridges()).not.toContain(bridge);
      expect(existsSync(folder)).toBe(false);
      expect(existsSync(left)).toBe(false);
    },
  );
});

it("goes with the test run that made it, and the next one clears what it left", async () => {
  const program = `import { startEngine } from ${JSON.stringify(import.meta.resolve("./engine.ts"))};
    console.log((await startEngine()).socket); setInterval(() => {}, 1000);`;
  const run = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [said] = await once(run.stdout, "data");
  const folder = dirname(String(said).trim());
  expect(existsSync(`${folder}/data`)).toBe(true);
  const bridge = bridgeIn(folder);
  expect(bridges()).toContain(bridge);
  const ended = once(run, "exit");
  run.kill("SIGKILL");
  await ended;
  const next = await startEngine();
  await next.remove();
  expect(traces(folder)).toEqual([]);
  expect(bridges()).not.toContain(bridge);
  expect(existsSync(folder)).toBe(false);
});
