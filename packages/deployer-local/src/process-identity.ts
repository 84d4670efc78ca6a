import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** A process id is reused; with the time at which the process started, it names one process for good. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: string | null;
}

/** When a process started, as text that no other process of that id ever has; null when there is no such process. */
export function startTimeOf(pid: number): string | null {
  return process.platform === "linux" ? linuxStartTime(pid) : psStartTime(pid);
}

/** Whether the process is the one that was meant, and not a later one of the same id. */
export function isAlive(identity: ProcessIdentity): boolean {
  return identity.startTime !== null && startTimeOf(identity.pid) === identity.startTime;
}

/** Kills the process if it is the one that was meant. */
export function killProcess(identity: ProcessIdentity): void {
  if (!isAlive(identity)) return;
  try {
    process.kill(identity.pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

function linuxStartTime(pid: number): string | null {
  const stat = readOrNull(`/proc/${pid}/stat`);
  if (stat === null) return null;
  // The command's name may hold spaces and parentheses, so fields are counted from the last one (proc(5)).
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const state = fields[0];
  const ticks = fields[19];
  if (state === undefined || ticks === undefined || state === "Z" || state === "X") return null;
  const boot = readOrNull("/proc/sys/kernel/random/boot_id")?.trim() ?? "";
  return `${boot}:${ticks}`;
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ESRCH") return null;
    throw error;
  }
}

function psStartTime(pid: number): string | null {
  try {
    const text = execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], {
      encoding: "utf8",
      env: { LC_ALL: "C", PATH: "/bin:/usr/bin" },
      stdio: ["ignore", "pipe", "ignore"],
    });
    return text.trim() === "" ? null : text.trim();
  } catch (error) {
    // ps exits with 1 when there is no such process.
    if (error instanceof Error && "status" in error && error.status === 1) return null;
    throw error;
  }
}
