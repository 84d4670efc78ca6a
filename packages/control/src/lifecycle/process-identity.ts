import { execFile } from "node:child_process";
import { readFile, readlink } from "node:fs/promises";
import { hostname } from "node:os";
import { promisify } from "node:util";
import type { LeaseHolder } from "@millrace/store";

/**
 * When a process began, as the operating system counts it; null when there is no such process. Together with the id it
 * tells a process from a later one that got the same id. Throws where the system does not tell.
 */
export async function processStart(pid: number): Promise<string | null> {
  return process.platform === "linux" ? startOnLinux(pid) : startByPs(pid);
}

async function startOnLinux(pid: number): Promise<string | null> {
  let stat: string;
  try {
    stat = await readFile(`/proc/${pid}/stat`, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT") || hasCode(error, "ESRCH")) return null;
    throw error;
  }
  // The command's name, in parentheses, may hold spaces: fields are counted behind it. Field 22 is the start time.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" ? null : (fields[19] ?? null);
}

async function startByPs(pid: number): Promise<string | null> {
  try {
    const { stdout } = await promisify(execFile)("ps", ["-o", "lstart=", "-p", String(pid)], {
      // The same words whatever the language and time zone of the one who asks.
      env: { ...process.env, LC_ALL: "C", TZ: "UTC" },
    });
    return stdout.trim() === "" ? null : stdout.trim();
  } catch (error) {
    // Its way to say that there is no such process.
    if (hasCode(error, 1)) return null;
    throw error;
  }
}

function hasCode(error: unknown, code: string | number): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

const UNKNOWN_START = "unknown";

/** The start as a text; where the system does not tell, one that says so. */
async function startOrUnknown(pid: number): Promise<string | null> {
  try {
    return await processStart(pid);
  } catch {
    // Without ps there is nothing to compare: such a process counts as alive until its lease expires.
    return UNKNOWN_START;
  }
}

/**
 * Where process ids mean the same: the running system, and on Linux the namespace in it. Host names do not tell: containers
 * and machines share them. Undefined where the system says nothing.
 */
async function pidSpace(): Promise<string | undefined> {
  try {
    if (process.platform === "linux") {
      const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
      return `${boot.trim()} ${await readlink("/proc/self/ns/pid")}`;
    }
    const { stdout } = await promisify(execFile)("sysctl", ["-n", "kern.bootsessionuuid"]);
    return stdout.trim() || undefined;
  } catch {
    return undefined;
  }
}

/** This process as the holder of a lease. */
export async function thisProcess(purpose: string): Promise<LeaseHolder> {
  return {
    host: hostname(),
    pid: process.pid,
    pidSpace: await pidSpace(),
    processStart: (await startOrUnknown(process.pid)) ?? UNKNOWN_START,
    purpose,
    since: Date.now(),
  };
}

/** True only when it is certain: a process that cannot be seen from here, or one without a known start, may be alive. */
export async function isDead(holder: LeaseHolder): Promise<boolean> {
  // Leases of older versions do not tell where their holder is.
  if (holder.pidSpace === undefined || holder.processStart === UNKNOWN_START) return false;
  if (holder.host !== hostname() || holder.pidSpace !== (await pidSpace())) return false;
  const start = await startOrUnknown(holder.pid);
  return start !== UNKNOWN_START && start !== holder.processStart;
}
