import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Where Debian keeps the programs of administrators, which not everybody has in PATH. */
const ADMINISTRATORS = ["/usr/sbin", "/sbin"];
/** Seconds to wait for another installation to end. */
const LOCK_TIMEOUT = 120;

/** Where programs are looked for, as PATH. */
export const SEARCH_PATH = [process.env["PATH"] ?? "", ...ADMINISTRATORS].join(delimiter);

/** The file of a program, or undefined. */
export function findProgram(name: string): string | undefined {
  return SEARCH_PATH.split(delimiter)
    .map((folder) => join(folder, name))
    .find((file) => existsSync(file));
}

/**
 * Sees to it that programs are there: installs Debian's packages where one is missing, this is Debian or Ubuntu, and the
 * user may. Returns why that cannot be; undefined when all are there.
 */
export function providePrograms(
  programs: readonly string[],
  packages: readonly string[],
): string | undefined {
  const missing = programs.filter((name) => findProgram(name) === undefined);
  if (missing.length === 0) return undefined;
  const lacks = `${missing.join(" and ")} ${missing.length === 1 ? "is" : "are"} not installed`;
  if (process.getuid?.() !== 0 || findProgram("apt-get") === undefined)
    return `${lacks}, and only root on Debian or Ubuntu can have that done`;
  const install = ["install", "--yes", "--no-install-recommends", ...packages];
  // What apt knows may be old, or nothing yet.
  const failure = aptGet(install) && (aptGet(["update"]) ?? aptGet(install));
  if (failure !== undefined) return `${lacks}, and ${failure}`;
  const still = programs.filter((name) => findProgram(name) === undefined);
  return still.length === 0 ? undefined : `${packages.join(", ")} brought no ${still.join(", ")}`;
}

function aptGet(args: readonly string[]): string | undefined {
  const { status, stderr } = spawnSync(
    "apt-get",
    ["-qq", "-o", `DPkg::Lock::Timeout=${LOCK_TIMEOUT}`, ...args],
    { env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" }, encoding: "utf8" },
  );
  if (status === 0) return undefined;
  return `apt-get ${args[0]} failed: ${stderr.trim().split("\n").at(-1)}`;
}
