import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { DeploymentTarget, ReadContext } from "@millrace/core";
import Docker, { type ContainerCreateOptions, type HostConfig } from "dockerode";
import { LABELS } from "./names.ts";

/** Where the engine of the tests is, and an image there that has Node. */
export const engineUrl = process.env["DOCKER_HOST"] ?? "unix:///var/run/docker.sock";
export const socket = engineUrl.replace("unix://", "");
export const base = process.env["MILLRACE_TEST_BASE"] ?? "node:24-slim";
export const docker = new Docker({ socketPath: socket });

export const readContext = (signal: AbortSignal = new AbortController().signal): ReadContext => ({
  signal,
  clock: {
    now: Date.now,
    sleep: (milliseconds, stop) => sleep(milliseconds, undefined, { signal: stop }),
  },
  progress: () => undefined,
});

/** A deployment whose containers a test makes itself. */
export class Deployment {
  readonly target: DeploymentTarget = {
    id: randomUUID(),
    name: "test",
    project: "default",
    inventory: [],
    metadata: {},
  };

  /** Starts a service container that runs a program of Node. */
  async run(program: string, hostConfig: HostConfig = {}): Promise<Docker.Container> {
    const container = await this.create(["node", "-e", program], hostConfig);
    await container.start();
    return container;
  }

  create(
    command: readonly string[],
    hostConfig: HostConfig = {},
    options: ContainerCreateOptions = {},
  ): Promise<Docker.Container> {
    return docker.createContainer({
      Image: base,
      Entrypoint: [...command],
      Labels: { [LABELS.deployment]: this.target.id, [LABELS.role]: "service" },
      HostConfig: { Init: true, NetworkMode: "none", ...hostConfig },
      ...options,
    });
  }

  async remove(): Promise<void> {
    const filters = { label: [`${LABELS.deployment}=${this.target.id}`] };
    for (const { Id } of await docker.listContainers({ all: true, filters }))
      await docker.getContainer(Id).remove({ force: true, v: true });
  }
}

/** Waits for a condition that another process brings about. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await sleep(20);
  }
}
