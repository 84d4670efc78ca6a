import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Where Debian keeps the servers, each version in a folder of its own. */
const DEBIAN = "/usr/lib/postgresql";

/** A folder with `initdb` and `postgres`, or why there is none. */
export type Binaries = { readonly folder: string } | { readonly missing: string };

/** Looks for PostgreSQL on this machine. */
export function findPostgres(): string | undefined {
  const debian = existsSync(DEBIAN)
    ? readdirSync(DEBIAN)
        .sort((a, b) => Number(b) - Number(a))
        .map((version) => join(DEBIAN, version, "bin"))
    : [];
  return [...(process.env["PATH"] ?? "").split(delimiter), ...debian].find((folder) =>
    ["initdb", "postgres"].every((program) => existsSync(join(folder, program))),
  );
}

/** Looks for PostgreSQL, and installs it where this is Debian or Ubuntu and the user may. */
export function providePostgres(): Binaries {
  const found = findPostgres();
  if (found !== undefined) return { folder: found };
  if (process.platform === "win32") return { missing: "PostgreSQL is not installed" };
  if (process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get"))
    return {
      missing:
        "PostgreSQL is not installed (initdb and postgres are neither in PATH nor in /usr/lib/postgresql), and only root on Debian or Ubuntu can have it installed",
    };
  for (const args of [["update"], ["install", "--yes", "--no-install-recommends", "postgresql"]]) {
    const { status, stderr } = spawnSync("apt-get", ["-qq", ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
      encoding: "utf8",
    });
    if (status !== 0)
      return { missing: `apt-get ${args[0]} failed: ${stderr.trim().split("\n").at(-1)}` };
  }
  const installed = findPostgres();
  return installed === undefined
    ? { missing: "the package postgresql brought no initdb and postgres" }
    : { folder: installed };
}

/** Why this machine has no PostgreSQL and cannot get it; undefined when it is there. */
export function postgresMissing(): string | undefined {
  const binaries = providePostgres();
  return "missing" in binaries ? binaries.missing : undefined;
}
