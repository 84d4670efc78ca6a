import { type DeploymentTarget, type JsonObject, MillraceError } from "@millrace/core";
import type { ContainerInspectInfo, NetworkInspectInfo } from "dockerode";
import { z } from "zod";
import { lastLines } from "./container-log.ts";
import type { Endpoint } from "./door-container.ts";
import { type DoorState, readState } from "./door-contract.ts";
import type { Engine } from "./engine.ts";
import { hostOf, LABELS, type Names } from "./names.ts";
import { SECRETS_FOLDER, specSchema } from "./service-container.ts";
import { findVolume } from "./volumes.ts";

/** Last lines of a door's log, of which one is its state: Node may have written the others. */
const DOOR_LINES = 5;

/** A container that serves a revision, or shall. */
export interface Service {
  readonly name: string;
  readonly id: string;
  readonly revision: string;
  readonly snapshotId: string;
  readonly spec: JsonObject;
  /** The engine's word: created, running, paused, restarting, removing, exited or dead. */
  readonly status: string;
  readonly exitCode: number;
  readonly outOfMemory: boolean;
  /** What it may use; 0 where nothing bounds it. */
  readonly memoryBytes: number;
  /** Why the engine could not start it; empty otherwise. */
  readonly fault: string;
  readonly restarts: number;
  /** When it began to run for the last time, by the engine's clock. */
  readonly startedAt: string;
  /** When the engine starts it again. */
  readonly restart: string;
  /** That it is in the deployment's network, which somebody may have removed from under it. */
  readonly joined: boolean;
  /** That it has a volume of secrets. */
  readonly hasSecrets: boolean;
  /** Where it has the volume of runs that wait for the store; null when it has none. */
  readonly spoolFolder: string | null;
}

export interface Door {
  readonly name: string;
  readonly id: string;
  readonly endpoint: Endpoint;
  /** Which form of the door contract it knows. */
  readonly protocol: number;
  readonly status: string;
  readonly joined: boolean;
  /** What it said last; null before it has said anything. */
  readonly state: DoorState | null;
}

/** What exists of a deployment, read at one moment. */
export interface Sight {
  readonly network: { readonly id: string } | null;
  /** The volume of runs that wait for the store. */
  readonly spool: { readonly name: string } | null;
  readonly door: Door | null;
  /** The door that takes its place, until it has its name. */
  readonly nextDoor: Door | null;
  readonly service: Service | null;
  readonly next: Service | null;
}

export async function look(engine: Engine, target: DeploymentTarget, names: Names): Promise<Sight> {
  const [network, spool, door, nextDoor, service, next] = await Promise.all([
    findNetwork(engine, names),
    findVolume(engine, names.spool),
    engine.inspectContainer(names.door),
    engine.inspectContainer(names.nextDoor),
    engine.inspectContainer(names.service),
    engine.inspectContainer(names.next),
  ]);
  if (network !== null) mustBeOurs(target, `network ${names.network}`, network.Labels ?? {});
  if (spool !== null) mustBeOurs(target, `volume ${names.spool}`, spool.Labels ?? {});
  for (const container of [door, nextDoor, service, next])
    if (container !== null)
      mustBeOurs(target, `container ${container.Name.slice(1)}`, container.Config.Labels);
  return {
    network: network === null ? null : { id: network.Id },
    spool: spool === null ? null : { name: spool.Name },
    door: door === null ? null : await readDoor(engine, door, network),
    nextDoor: nextDoor === null ? null : await readDoor(engine, nextDoor, network),
    service: service === null ? null : readService(service, network, names),
    next: next === null ? null : readService(next, network, names),
  };
}

/** All networks of the name: the engine lets two deploys at the same time make two of them. */
export async function listNetworks(
  engine: Engine,
  { network }: Pick<Names, "network">,
): Promise<readonly NetworkInspectInfo[]> {
  const found = await engine.ask("list networks", () =>
    engine.docker.listNetworks({ filters: { name: [network] } }),
  );
  return found.filter(({ Name }) => Name === network).sort((a, b) => (a.Id < b.Id ? -1 : 1));
}

/** The one that counts is the same for everybody who looks. */
async function findNetwork(engine: Engine, names: Names): Promise<NetworkInspectInfo | null> {
  return (await listNetworks(engine, names))[0] ?? null;
}

/** Somebody else's things are never touched, whatever they are called. */
function mustBeOurs(
  { id }: DeploymentTarget,
  what: string,
  labels: Readonly<Record<string, string>>,
): void {
  if (labels[LABELS.deployment] === id) return;
  throw new MillraceError({
    class: "conflict",
    code: "NAME_TAKEN",
    message: `There is a ${what} on the engine that does not belong to this deployment.`,
    action: "Rename or remove it, then run the command again.",
  });
}

const doorSpecSchema = z.object({ bind: z.string(), port: z.int(), protocol: z.int().default(0) });

async function readDoor(
  engine: Engine,
  container: ContainerInspectInfo,
  network: NetworkInspectInfo | null,
): Promise<Door> {
  const { Config, Id, Name, State } = container;
  const spec = doorSpecSchema.parse(JSON.parse(Config.Labels[LABELS.spec] ?? "null"));
  const { protocol, ...endpoint } = spec;
  const name = Name.slice(1);
  return {
    name,
    id: Id,
    endpoint,
    protocol,
    status: State.Status,
    joined: hasJoined(container, network),
    state: State.Status === "created" ? null : await readDoorState(engine, name),
  };
}

/** What a door said last; null before it has said anything. */
export async function readDoorState(engine: Engine, name: string): Promise<DoorState | null> {
  return readState(await lastLines(engine, name, DOOR_LINES));
}

function readService(
  container: ContainerInspectInfo,
  network: NetworkInspectInfo | null,
  names: Names,
): Service {
  const { Config, HostConfig, Id, Mounts, Name, RestartCount, State } = container;
  return {
    name: Name.slice(1),
    id: Id,
    revision: Config.Labels[LABELS.revision] ?? "",
    snapshotId: Config.Labels[LABELS.snapshot] ?? "",
    spec: specSchema.parse(JSON.parse(Config.Labels[LABELS.spec] ?? "{}")),
    status: State.Status,
    exitCode: State.ExitCode,
    outOfMemory: State.OOMKilled,
    memoryBytes: HostConfig.Memory ?? 0,
    fault: State.Error,
    restarts: RestartCount,
    startedAt: State.StartedAt,
    restart: HostConfig.RestartPolicy?.Name ?? "no",
    joined: hasJoined(container, network),
    hasSecrets: Mounts.some(({ Destination }) => Destination === SECRETS_FOLDER),
    spoolFolder: Mounts.find((mount) => mount.Name === names.spool)?.Destination ?? null,
  };
}

/** By the network's id, since another network of the name is not the same. One that was never started has none yet. */
function hasJoined(
  { NetworkSettings, State }: ContainerInspectInfo,
  network: NetworkInspectInfo | null,
): boolean {
  if (network === null) return false;
  if (State.Status !== "running") return true;
  return Object.values(NetworkSettings.Networks).some(({ NetworkID }) => NetworkID === network.Id);
}

/** The door that clients reach; of two, the one that is about to go. */
export function doorInUse({ door, nextDoor }: Pick<Sight, "door" | "nextDoor">): Door | null {
  return [door, nextDoor].find((one) => one?.status === "running") ?? door ?? nextDoor;
}

/** The container that the door hands connections to, if it runs. */
export function servingOf(sight: Sight): Service | null {
  const { service, next } = sight;
  const door = doorInUse(sight);
  if (door === null || door.status !== "running" || !door.joined) return null;
  const target = targetOf(door.state, service, next);
  return target?.status === "running" && target.joined ? target : null;
}

/** The container that the door's route names, whatever became of it. */
export function targetOf(
  state: DoorState | null,
  ...services: readonly (Service | null)[]
): Service | null {
  const host = state?.target?.host;
  return services.find((one) => one !== null && hostOf(one.revision) === host) ?? null;
}

export function hasEnded({ status }: Service): boolean {
  return status === "exited" || status === "dead";
}
