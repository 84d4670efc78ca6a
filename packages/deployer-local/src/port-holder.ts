import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface PortHolder {
  readonly pid: number;
  readonly command: string;
}

/**
 * Which process listens on a TCP port, as far as this user may see; null when that cannot be found out. It only makes
 * an error message better, so nothing that goes wrong here matters.
 */
export function portHolder(port: number): PortHolder | null {
  try {
    return process.platform === "linux" ? fromProc(port) : fromLsof(port);
  } catch {
    return null;
  }
}

const LISTEN = "0A";

function fromProc(port: number): PortHolder | null {
  const inodes = new Set(
    ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((file) => listeningInodes(file, port)),
  );
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    if (holdsSocket(pid, inodes)) {
      return { pid: Number(pid), command: readFileSync(`/proc/${pid}/comm`, "utf8").trim() };
    }
  }
  return null;
}

/** Columns: number, local address:port in hexadecimal, remote, state, …; the tenth is the inode (proc(5)). */
function listeningInodes(file: string, port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return readFileSync(file, "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[1]?.endsWith(suffix) && columns[3] === LISTEN)
    .flatMap((columns) => columns[9] ?? []);
}

function holdsSocket(pid: string, inodes: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((descriptor) => {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${descriptor}`))?.[1];
      return inode !== undefined && inodes.has(inode);
    });
  } catch {
    // Another user's process, or one that ended meanwhile.
    return false;
  }
}

function fromLsof(port: number): PortHolder | null {
  const text = execFileSync("lsof", ["-nP", `-iTCP:${port}`, "-sTCP:LISTEN", "-Fpc"], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  const pid = /^p(\d+)$/m.exec(text)?.[1];
  const command = /^c(.+)$/m.exec(text)?.[1];
  return pid === undefined || command === undefined ? null : { pid: Number(pid), command };
}
