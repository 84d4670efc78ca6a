import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { promisify } from "node:util";
import type { LeaseHolder } from "@millrace/store";

/**
 * When a process began, as the operating system counts it; null when there is no such process. Together with the id it
 * tells a process from a later one that got the same id.
 */
async function processStart(pid: number): Promise<string | null> {
  if (process.platform === "linux") {
    try {
      const stat = await readFile(`/proc/${pid}/stat`, "utf8");
      // The command's name, in parentheses, may hold spaces: fields are counted behind it. Field 22 is the start time.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return fields[0] === "Z" ? null : (fields[19] ?? null);
    } catch {
      return null;
    }
  }
  try {
    const { stdout } = await promisify(execFile)("ps", ["-o", "lstart=", "-p", String(pid)]);
    return stdout.trim() === "" ? null : stdout.trim();
  } catch {
    return null;
  }
}

export async function thisProcess(purpose: string): Promise<LeaseHolder> {
  const start = await processStart(process.pid);
  return { host: hostname(), pid: process.pid, processStart: start ?? "unknown", purpose };
}

/** True only when it is certain: a process of another machine may be alive. */
export async function isDead(holder: LeaseHolder): Promise<boolean> {
  if (holder.host !== hostname()) return false;
  return (await processStart(holder.pid)) !== holder.processStart;
}
