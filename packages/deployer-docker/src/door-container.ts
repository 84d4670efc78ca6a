import { readFile } from "node:fs/promises";
import type { DeploymentTarget } from "@millrace/core";
import type { ContainerCreateOptions } from "dockerode";
import type { ArchiveFile } from "./archive.ts";
import { DOOR_PROTOCOL, ROUTE_FILE, type Route } from "./door-contract.ts";
import { LABELS, labelsOf } from "./names.ts";

/** Where the door's program and its files lie in its container. */
export const DOOR_FOLDER = "/millrace-door";
const PROGRAM = "door.js";
/** Port within the container, of the door as of the service. */
export const PORT = 8080;
/** It only hands bytes on: what V8 would keep for more is not needed. */
const NODE_OPTIONS = ["--max-semi-space-size=1", "--max-old-space-size=64"];

export interface Endpoint {
  /** Address of the engine's machine. */
  readonly bind: string;
  readonly port: number;
}

/** What a container is called, and the id of the network that it is in. */
export interface Place {
  readonly name: string;
  readonly network: string;
}

/** The forwarder's program, which needs nothing but Node. */
export function doorProgram(): Promise<string> {
  return readFile(new URL("./door.js", import.meta.url), "utf8");
}

export function doorOptions(
  deployment: DeploymentTarget,
  { name, network }: Place,
  endpoint: Endpoint,
  image: string,
): ContainerCreateOptions & { readonly name: string } {
  return {
    name,
    Image: image,
    Entrypoint: ["node", ...NODE_OPTIONS, `${DOOR_FOLDER}/${PROGRAM}`],
    Cmd: [DOOR_FOLDER, String(PORT)],
    Env: [],
    WorkingDir: "/",
    // For an engine, any signal to a container of which it is not said what stops it is a stop, and ends its restarts.
    StopSignal: "SIGTERM",
    Labels: {
      ...labelsOf(deployment, "door"),
      [LABELS.spec]: JSON.stringify({ ...endpoint, protocol: DOOR_PROTOCOL }),
    },
    ExposedPorts: { [`${PORT}/tcp`]: {} },
    HostConfig: {
      NetworkMode: network,
      PortBindings: {
        [`${PORT}/tcp`]: [{ HostIp: endpoint.bind, HostPort: String(endpoint.port) }],
      },
      // Not "unless-stopped": the signal for a new route counts as a stop, and it would not come back with its engine.
      RestartPolicy: { Name: "always" },
      // Where this is set, the engine answers for a service that does not run, and asks nobody beyond its machine.
      DnsOptions: ["ndots:1"],
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges"],
      PidsLimit: 128,
      // Its state is read from its log, so the engine's own driver, whatever the machine's default is, keeps that readable.
      LogConfig: { Type: "json-file", Config: { "max-size": "1m", "max-file": "2" } },
    },
  };
}

/** What a door container is given before it starts; the folder has to be writable for what it keeps. */
export function doorFiles(code: string, route: Route): readonly ArchiveFile[] {
  const folder = DOOR_FOLDER.slice(1);
  return [
    { path: `${folder}/`, content: null, mode: 0o755 },
    { path: `${folder}/${PROGRAM}`, content: code, mode: 0o444 },
    { path: `${folder}/${ROUTE_FILE}`, content: JSON.stringify(route), mode: 0o644 },
  ];
}
