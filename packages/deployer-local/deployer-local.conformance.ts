import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { defineHarness, type Platform, type PlatformResource } from "@millrace/conformance";
import { resourceName } from "@millrace/core";

/** Each check takes its ports from a part of the range of its own. */
const FIRST_PORT = 20_000;
const PORTS_PER_CHECK = 20;
const PARTS = 400;
/** Time enough for a machine that has much to do, and little enough to wait for. */
const SILENCE_SECONDS = 6;
let part = Math.floor(Math.random() * PARTS);

interface Process {
  readonly pid: number;
  readonly words: readonly string[];
}

interface State {
  readonly rollout: { readonly revision: string } | null;
  readonly workers: readonly { readonly pid: number; readonly state: string }[];
}

export default defineHarness({
  name: "deployer-local",
  plugin: import.meta.resolve("@millrace/deployer-local"),
  flavor: "local",
  serves: "real",
  otherSettings: { workers: 2 },
  refusedSettings: [
    { settings: { workers: 0 }, names: "workers" },
    { settings: { host: "0.0.0.0" }, names: "host" },
    { settings: { port: 65_536 }, names: "port" },
  ],
  parallel: 3,
  patience: 2,
  setup: async ({ home }) => machine(resolve(home)),
});

/** This machine, as far as the deployments of one state folder go. */
function machine(home: string): Platform {
  const folders = join(home, "deployments");
  const first = FIRST_PORT + (part++ % PARTS) * PORTS_PER_CHECK;
  const idsOnDisk = (): string[] =>
    existsSync(folders)
      ? readdirSync(folders, { withFileTypes: true })
          .filter((entry) => entry.isDirectory())
          .map(({ name }) => name)
      : [];
  const signalSupervisors = async (signal: NodeJS.Signals): Promise<void> => {
    for (const { pid } of supervisors(home)) send(pid, signal);
  };
  const signalWorkers = (id: string, signal: NodeJS.Signals): void => {
    for (const { pid } of stateOf(join(folders, id))?.workers ?? []) send(pid, signal);
  };
  const kill = (id: string): void => {
    const supervisor = supervisors(home).find(({ deploymentId }) => deploymentId === id);
    if (supervisor !== undefined) send(supervisor.pid, "SIGKILL");
    signalWorkers(id, "SIGKILL");
  };
  return {
    settings: {
      portRange: [first, first + PORTS_PER_CHECK - 1],
      silenceTimeoutSeconds: SILENCE_SECONDS,
    },
    list: async () => [
      ...supervisors(home).map(({ pid, deploymentId }) => ({
        kind: "process",
        name: nameOf(deploymentId),
        tags: null,
        fingerprint: `${pid} ${fingerprintOf(stateOf(join(folders, deploymentId)))}`,
      })),
      ...idsOnDisk().map((id) => ({
        kind: "folder",
        name: nameOf(id),
        tags: null,
        fingerprint: "there",
      })),
    ],
    visible: async () =>
      [
        ...processes().map(({ words }) => words.join(" ")),
        ...supervisors(home).map(({ pid }) => environmentOf(pid)),
        ...idsOnDisk().flatMap((id) => {
          const state = stateOf(join(folders, id));
          return [
            JSON.stringify(state),
            ...(state?.workers ?? []).map(({ pid }) => environmentOf(pid)),
          ];
        }),
      ].join("\n"),
    faults: {
      stop: async (id) => kill(id),
      kill: async (id) => signalWorkers(id, "SIGKILL"),
      pause: async (id) => signalWorkers(id, "SIGSTOP"),
      remove: async ({ kind, name }: PlatformResource) => {
        const ids = [...idsOnDisk(), ...supervisors(home).map(({ deploymentId }) => deploymentId)];
        const id = ids.find((candidate) => nameOf(candidate) === name);
        if (id === undefined) return;
        if (kind === "process") kill(id);
        else rmSync(join(folders, id), { recursive: true, force: true });
      },
      cutOff: () => signalSupervisors("SIGSTOP"),
      hang: () => signalSupervisors("SIGSTOP"),
    },
    restore: () => signalSupervisors("SIGCONT"),
    close: async () => {
      for (const { deploymentId } of supervisors(home)) kill(deploymentId);
    },
  };
}

function nameOf(deploymentId: string): string {
  return resourceName({ id: deploymentId, name: "" }, { maxLength: 63 });
}

/** Differs when the deployer started another process or rolled something out. */
function fingerprintOf(state: State | null): string {
  const workers = (state?.workers ?? []).filter((worker) => worker.state !== "draining");
  return JSON.stringify([state?.rollout?.revision, workers.map(({ pid }) => pid).sort()]);
}

function stateOf(folder: string): State | null {
  try {
    return JSON.parse(readFileSync(join(folder, "state.json"), "utf8")) as State;
  } catch {
    // Not written yet, or removed by a check.
    return null;
  }
}

/** The supervisors of a state folder, found among all processes and not by what the deployer wrote down. */
function supervisors(home: string): { readonly pid: number; readonly deploymentId: string }[] {
  return processes().flatMap(({ pid, words }) => {
    const at = words.findIndex((word) => /[\\/]supervisor\.[jt]s$/.test(word));
    const deploymentId = words[at + 2];
    return at !== -1 && words[at + 1] === home && deploymentId !== undefined
      ? [{ pid, deploymentId }]
      : [];
  });
}

/** Every process of this machine that is not a zombie. */
function processes(): Process[] {
  if (process.platform !== "linux") return processesByPs();
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const words = readOrEmpty(`/proc/${name}/cmdline`).split("\0").slice(0, -1);
      // A zombie has no command line.
      return words.length === 0 ? [] : [{ pid: Number(name), words }];
    });
}

function processesByPs(): Process[] {
  const text = execFileSync("ps", ["-axww", "-o", "pid=,stat=,command="], { encoding: "utf8" });
  return text.split("\n").flatMap((line) => {
    const [pid, state, ...words] = line.trim().split(/\s+/);
    return state === undefined || state.startsWith("Z") ? [] : [{ pid: Number(pid), words }];
  });
}

/** What other processes of the user can read of a process's environment. */
function environmentOf(pid: number): string {
  return process.platform === "linux" ? readOrEmpty(`/proc/${pid}/environ`) : "";
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // The process ended meanwhile.
    return "";
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
