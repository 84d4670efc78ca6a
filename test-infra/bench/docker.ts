import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import Docker from "dockerode";
import { type Client, connect } from "millrace";
import { rolldown } from "rolldown";
import { BASE_IMAGE, hasImage, importBaseImage } from "../docker/base-image.ts";
import { provideEngine } from "../docker/engine.ts";
import { requireWrk, throughput } from "./load.ts";
import { type Result, round } from "./results.ts";
import { BARE_SERVER, PIPELINE, residentBytes } from "./servers.ts";
import { median, medianRatio } from "./statistics.ts";
import { benchUpdates } from "./update.ts";

const STACK = "bench-docker";
const NAME = "contained";
const PORT = 8080;
const MEGABYTE = 1_000_000;
const START_MS = 30_000;

export interface DockerScale {
  readonly rounds: number;
  readonly updates: number;
  /** Length of the full load before memory is read. */
  readonly seconds: number;
}

/**
 * Deployments as containers: how long a deploy takes, requests lost in updates under load, and start and memory of the
 * container beside one that runs the bare server on the same base. The engine and the base image are there already.
 */
export async function benchDocker(home: string, scale: DockerScale): Promise<Result[]> {
  requireWrk();
  const engine = await provideEngine();
  if ("missing" in engine) throw new Error(`There is no Docker engine: ${engine.missing}.`);
  const docker = new Docker({ socketPath: engine.socket });
  const client = await connect({ directory: import.meta.dirname, home: join(home, "docker") });
  try {
    if (!(await hasImage(engine.socket, BASE_IMAGE))) await importBaseImage(engine.socket);
    const settings = { engine: `unix://${engine.socket}`, image: { base: BASE_IMAGE } };
    await client.deployers.register(STACK, "docker", { settings });
    await client.stacks.register(STACK, STACK);
    return [
      ...(await benchDeploys(client, scale.rounds)),
      await benchUpdates(client, scale.updates, { key: "docker.lost", stack: STACK }),
      ...(await benchContainers(docker, client, join(home, "bare"), scale)),
    ];
  } finally {
    await client.close();
    await engine.stop();
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}

async function benchDeploys(client: Client, rounds: number): Promise<Result[]> {
  const times = { deploy: [] as number[], unchanged: [] as number[], update: [] as number[] };
  for (let i = 0; i < rounds; i++) {
    const deploy = (environment: Record<string, string>) =>
      timed(() => client.deploy(`${PIPELINE}#tracked`, { name: NAME, stack: STACK, environment }));
    times.deploy.push(await deploy({ ROUND: "0" }));
    times.unchanged.push(await deploy({ ROUND: "0" }));
    times.update.push(await deploy({ ROUND: "1" }));
    await client.deployments.delete(NAME);
  }
  return Object.entries(times).map(([what, values]) => ({
    key: `docker.${what}`,
    value: median(values),
    unit: "seconds",
    detail: `median of ${rounds}, from ${round(Math.min(...values))} to ${round(Math.max(...values))} s`,
  }));
}

/** A container that serves, and all that is needed for it. */
interface Contained {
  readonly url: string;
  readonly serving: Docker.Container;
  readonly all: readonly Docker.Container[];
}

async function benchContainers(
  docker: Docker,
  client: Client,
  folder: string,
  { rounds, seconds }: DockerScale,
): Promise<Result[]> {
  const bare = await startBareContainer(docker, folder);
  try {
    const { deployment } = await client.deploy(`${PIPELINE}#tracked`, { name: NAME, stack: STACK });
    const own = await containersOf(docker, deployment);
    const starts = { own: [] as number[], bare: [] as number[] };
    for (let i = 0; i < rounds; i++) {
      starts.bare.push(await restart(bare));
      starts.own.push(await restart(own));
    }
    const memory = { bare: await loadedBytes(bare, seconds), own: await loadedBytes(own, seconds) };
    return [
      {
        key: "docker.start",
        value: medianRatio(starts.own, starts.bare),
        unit: "ratio",
        detail: `${round(median(starts.own))} over ${round(median(starts.bare))} s, from the engine's start of a container to the first 200`,
      },
      {
        key: "docker.memory",
        value: memory.own / memory.bare,
        unit: "ratio",
        detail: `${Math.round(memory.own / MEGABYTE)} over ${Math.round(memory.bare / MEGABYTE)} MB after ${seconds} s of full load, with the container that holds the port`,
      },
    ];
  } finally {
    await client.deployments.delete(NAME);
    await bare.serving.remove({ force: true });
  }
}

/** The bare server in one file, so that its container needs nothing but the base image. */
async function startBareContainer(docker: Docker, folder: string): Promise<Contained> {
  mkdirSync(folder, { recursive: true });
  const port = await freePort();
  await using build = await rolldown({ input: BARE_SERVER, platform: "node" });
  await build.write({ dir: folder, format: "esm", entryFileNames: "server.mjs" });
  const serving = await docker.createContainer({
    Image: BASE_IMAGE,
    Entrypoint: ["node", "/bare/server.mjs"],
    Env: [`PORT=${PORT}`, "HOST=0.0.0.0", "NODE_ENV=production"],
    ExposedPorts: { [`${PORT}/tcp`]: {} },
    HostConfig: {
      Binds: [`${folder}:/bare:ro`],
      PortBindings: { [`${PORT}/tcp`]: [{ HostIp: "127.0.0.1", HostPort: String(port) }] },
    },
  });
  await serving.start();
  const url = `http://127.0.0.1:${port}`;
  await firstAnswer(url);
  return { url, serving, all: [serving] };
}

/** The engine would choose another one at each start. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

async function containersOf(
  docker: Docker,
  { id, url }: { readonly id: string; readonly url: string | null },
): Promise<Contained> {
  const filters = { label: [`dev.millrace.deployment=${id}`] };
  const found = await docker.listContainers({ filters });
  const service = found.find(({ Labels }) => Labels["dev.millrace.role"] === "service");
  if (url === null || service === undefined) throw new Error("The deployment has no container.");
  const all = found.map(({ Id }) => docker.getContainer(Id));
  return { url, serving: docker.getContainer(service.Id), all };
}

/** Seconds from the engine's start of the container to its first answer. */
async function restart({ serving, url }: Contained): Promise<number> {
  await serving.stop({ t: 5 });
  return timed(async () => {
    await serving.start();
    await firstAnswer(url);
  });
}

async function firstAnswer(url: string): Promise<void> {
  const deadline = performance.now() + START_MS;
  while (performance.now() < deadline) {
    try {
      const headers = { connection: "close" };
      if ((await fetch(`${url}/health/ready`, { headers })).ok) return;
    } catch (error) {
      // Nobody listens yet: fetch says so with a TypeError.
      if (!(error instanceof TypeError)) throw error;
    }
    await sleep(2);
  }
  throw new Error(`${url} did not answer within ${START_MS} ms.`);
}

async function loadedBytes({ url, all }: Contained, seconds: number): Promise<number> {
  throughput(url, 64, seconds);
  const processes = await Promise.all(all.map(processesOf));
  return processes.flat().reduce((sum, pid) => sum + residentBytes(pid), 0);
}

async function processesOf(container: Docker.Container): Promise<number[]> {
  const { Processes } = await container.top({ ps_args: "-o pid" });
  return Processes.map(([pid]: readonly string[]) => Number(pid));
}
