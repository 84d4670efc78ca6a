import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import type { Places } from "./places.ts";
import { type ProcessIdentity, startTimeOf } from "./process-identity.ts";
import { isErrorCode } from "./system-error.ts";

const MARK = "MILLRACE_DEPLOYMENT_FOLDER";

/**
 * Stands in the environment of each worker, so that one can be found although its supervisor was killed before it could
 * write down that there is one.
 */
export function workerMark({ folder }: Places): Record<string, string> {
  return { [MARK]: folder };
}

/** The processes of this user that carry a deployment's mark: its workers, and what those started. */
export function findWorkers({ folder }: Places): ProcessIdentity[] {
  const mark = `${MARK}=${folder}`;
  const pids = process.platform === "linux" ? linuxSearch(mark) : psSearch(mark);
  return pids.map((pid) => ({ pid, startTime: startTimeOf(pid) }));
}

function linuxSearch(mark: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => linuxEnvironment(name).includes(mark))
    .map(Number);
}

/** Empty for processes that ended and for those of other users. */
function linuxEnvironment(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
  } catch (error) {
    if (isErrorCode(error, "ENOENT", "ESRCH", "EACCES", "EPERM")) return [];
    throw error;
  }
}

function psSearch(mark: string): number[] {
  const list = execFileSync("ps", ["-E", "-x", "-ww", "-o", "pid=,command="], {
    encoding: "utf8",
    env: { LC_ALL: "C", PATH: "/bin:/usr/bin" },
    maxBuffer: 256 * 1024 * 1024,
  });
  return list
    .split("\n")
    .filter((line) => `${line} `.includes(` ${mark} `))
    .map((line) => Number.parseInt(line, 10));
}
