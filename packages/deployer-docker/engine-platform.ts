import type { Faults, Harness, Platform, PlatformResource } from "@millrace/conformance";
import type { JsonObject } from "@millrace/core";
import Docker from "dockerode";
import { EngineProxy } from "./src/engine-proxy.fixture.ts";

const LABEL = "dev.millrace.deployment";
/** Each check takes its ports from a part of the range of its own. */
const FIRST_PORT = 21_000;
const PORTS_PER_CHECK = 20;
const PARTS = 400;
let part = Math.floor(Math.random() * PARTS);

/** The engine that the suite runs on, and the base image that it has. */
export const machineSocket = (process.env["DOCKER_HOST"] ?? "unix:///var/run/docker.sock").replace(
  "unix://",
  "",
);
export const baseImage = process.env["MILLRACE_TEST_BASE"] ?? "node:24-slim";

/** What every harness of this deployer says. */
export const dockerHarness = {
  plugin: import.meta.resolve("@millrace/deployer-docker"),
  flavor: "docker",
  serves: "real",
  otherSettings: { pids: 512 },
  refusedSettings: [
    { settings: { pids: 1 }, names: "pids" },
    { settings: { bind: "0.0.0.0" }, names: "bind" },
    { settings: { port: 65_536 }, names: "port" },
    { settings: { memory: "lots" }, names: "memory" },
    { settings: { runOptions: { Memory: 1 } }, names: "runOptions" },
  ],
  patience: 4,
} as const satisfies Omit<Harness, "name" | "setup">;

/** What one platform has that others have not. */
export interface Particulars {
  /** Path of the engine's socket. */
  readonly socket: string;
  readonly settings: JsonObject;
  /** Faults beside those that any engine can be given. */
  readonly faults: Faults;
  /** Default: images that the engine was given. */
  readonly deliveries?: () => Promise<number>;
  restore(): Promise<void>;
  close(): Promise<void>;
}

/** An engine, as far as one check uses it. */
export async function enginePlatform({
  socket,
  settings,
  faults,
  deliveries,
  restore,
  close,
}: Particulars): Promise<Platform> {
  const proxy = await EngineProxy.open(socket);
  const docker = new Docker({ socketPath: socket });
  const first = FIRST_PORT + (part++ % PARTS) * PORTS_PER_CHECK;
  const containers = async () => {
    const all = await docker.listContainers({ all: true, filters: { label: [LABEL] } });
    return all.filter(({ Names }) => proxy.created.has(nameOf(Names)));
  };
  const networks = async () => {
    const all = await docker.listNetworks({ filters: { label: [LABEL] } });
    return all.filter(({ Name }) => proxy.created.has(Name));
  };
  // Those of secrets have no name of their own and go with their container.
  const volumes = async () => {
    const { Volumes } = await docker.listVolumes({ filters: { label: [LABEL] } });
    return (Volumes ?? []).filter(({ Name }) => proxy.created.has(Name));
  };
  const list = async (): Promise<PlatformResource[]> => [
    ...(await volumes()).map(({ Name, Labels }) => ({ kind: "volume", name: Name, tags: Labels })),
    ...(await networks()).map(({ Name, Id, Labels }) => ({
      kind: "network",
      name: Name,
      tags: Labels ?? {},
      fingerprint: Id,
    })),
    ...(await containers()).map(({ Names, Id, Labels }) => ({
      kind: "container",
      name: nameOf(Names),
      tags: Labels,
      fingerprint: Id,
    })),
  ];
  const onService = async (
    id: string,
    work: (container: Docker.Container) => Promise<unknown>,
  ): Promise<void> => {
    for (const { Id, Labels } of await containers())
      if (Labels[LABEL] === id && Labels["dev.millrace.role"] === "service")
        await work(docker.getContainer(Id));
  };
  const remove = async ({ kind, name }: Pick<PlatformResource, "kind" | "name">): Promise<void> => {
    if (kind === "container") {
      await docker.getContainer(name).remove({ force: true, v: true }).catch(unlessMissing);
      return;
    }
    if (kind === "volume") {
      await docker.getVolume(name).remove().catch(unlessMissing);
      return;
    }
    const network = docker.getNetwork(name);
    const { Containers = {} } = await network.inspect();
    for (const id of Object.keys(Containers))
      await network.disconnect({ Container: id, Force: true });
    await network.remove();
  };
  return {
    settings: {
      engine: `unix://${proxy.socket}`,
      portRange: [first, first + PORTS_PER_CHECK - 1],
      ...settings,
    },
    list,
    changes: async () => proxy.changes,
    deliveries: deliveries ?? (async () => proxy.loads),
    visible: async () => {
      const shown = (await containers()).map(async ({ Id, State }) => {
        const container = docker.getContainer(Id);
        const processes = State === "running" ? await container.top() : null;
        return JSON.stringify([await container.inspect(), processes]);
      });
      return (await Promise.all(shown)).join("\n");
    },
    faults: {
      stop: (id) => onService(id, (container) => container.stop({ t: 0 }).catch(unlessMissing)),
      kill: (id) => onService(id, killProcesses),
      pause: (id) => onService(id, (container) => container.pause()),
      remove,
      cutOff: async () => {
        proxy.mode = "cut off";
      },
      hang: async () => {
        proxy.mode = "hanging";
      },
      refuse: async () => {
        proxy.mode = "refusing";
      },
      loseNextReply: async () => proxy.loseNextAnswer(),
      ...faults,
    },
    restore: async () => {
      proxy.restore();
      await restore();
    },
    close: async () => {
      await restore();
      for (const resource of (await list()).reverse()) await remove(resource);
      await proxy.close();
      await close();
    },
  };
}

/** From within, as a crash is: the engine knows nothing of it beforehand. The first process cannot be killed so, and ends then. */
async function killProcesses(container: Docker.Container): Promise<void> {
  const kill = await container.exec({ Cmd: ["node", "-e", "process.kill(-1, 'SIGKILL')"] });
  await kill.start({ Detach: true });
}

function nameOf(names: readonly string[]): string {
  return names[0]?.slice(1) ?? "";
}

export function unlessMissing(error: { readonly statusCode?: number }): void {
  if (error.statusCode !== 404 && error.statusCode !== 304) throw error;
}
